/** Answers that never come, and answers that say the worst: nothing is acknowledged that is not stored, nothing is stored twice. */
import { randomBytes, randomInt } from 'node:crypto'
import { afterEach, expect, test } from '@jest/globals'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import { AppendError, FencedError } from '../../../log/log.ts'
import { BrokenWire, produceError, produceKey, type Verdict } from './broken-wire.ts'

const brokers = process.env.KAFKA_BROKERS
const run = brokers && !brokers.includes(',') ? test : test.skip
const why = brokers ? '' : ' [skipped: KAFKA_BROKERS is not set]'
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** Long enough for what was appended to be on its way. */
const nextTurns = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(() => resolve())))

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function behindWire(pauseMsMax?: number) {
  const [host = '', port = ''] = (brokers ?? '').split(':')
  const wire = new BrokenWire(host, Number(port))
  await wire.listen()
  opened.push(wire)
  const log = new KafkaLog({ brokers: [`127.0.0.1:${wire.port}`], clientId: 'wire', logger: silent, requestTimeoutMs: 2000 })
  opened.push(log)
  const topic = `wire-${randomBytes(6).toString('hex')}`
  // The times of the records are long ago: by default Kafka would remove them whenever it looks.
  await log.createTopics([{ name: topic, partitions: 2, replication: 1, settings: { 'retention.ms': '-1' } }])
  const appender = await log.appender(pauseMsMax === undefined ? {} : { pauseMsMax })
  const answers: [string, unknown][] = []
  const append = (value: string, partition = 0): void =>
    appender.append({ topic, partition, key: null, value: Buffer.from(value), timestamp: 1 }, (error, offset) =>
      answers.push([value, error instanceof AppendError ? error.outcome : offset]),
    )
  const stored = async (partition = 0): Promise<(string | undefined)[]> =>
    (await log.read(topic, partition, 0, 64 * 1024 * 1024)).records.map(({ value }) => value?.toString())
  return { wire, log, topic, appender, append, answers, stored }
}

run(`answers lost at random are asked for again: each record once, in order, at the offset answered${why}`, async () => {
  const { wire, log, topic, appender } = await behindWire()
  let lost = 0
  wire.judge = (apiKey) => {
    const loseAnswer = apiKey === produceKey && lost < 25 && randomInt(3) === 0
    if (loseAnswer) lost++
    return { loseAnswer }
  }
  const failures: unknown[] = []
  const answered = [0, 0]
  const sent = [0, 0]
  while (lost < 25) {
    for (let i = 0; i < 40; i++) {
      const partition = randomInt(2)
      const number = sent[partition] as number
      sent[partition] = number + 1
      appender.append({ topic, partition, key: null, value: Buffer.from(`${number}`), timestamp: 1 }, (error, offset) => {
        if (error || offset !== number || answered[partition] !== number) failures.push([error, offset, number])
        answered[partition] = number + 1
      })
    }
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await appender.flush()
  expect(failures).toEqual([])
  expect(answered).toEqual(sent)
  for (const partition of [0, 1]) {
    const { records } = await log.read(topic, partition, 0, 64 * 1024 * 1024)
    expect(records.map(({ value }) => Number(value?.toString()))).toEqual(Array.from({ length: sent[partition] as number }, (_, i) => i))
  }
})

run(`a broker that lost the producer gets the unstored batch again under a new producer id${why}`, async () => {
  const { wire, append, appender, answers, stored } = await behindWire()
  append('a')
  await appender.flush()
  for (const [errorCode, value] of [
    [45, 'b'], // OUT_OF_ORDER_SEQUENCE_NUMBER
    [59, 'c'], // UNKNOWN_PRODUCER_ID
    [47, 'd'], // INVALID_PRODUCER_EPOCH without a transactional id
  ] as const) {
    let isForged = false
    wire.judge = (apiKey, frame) => {
      if (apiKey !== produceKey || isForged) return {}
      isForged = true
      return { answer: produceError(frame, errorCode) }
    }
    append(value)
    await appender.flush()
    expect(isForged).toBe(true)
  }
  expect(answers).toEqual([
    ['a', 0],
    ['b', 1],
    ['c', 2],
    ['d', 3],
  ])
  expect(await stored()).toEqual(['a', 'b', 'c', 'd'])
})

run(`a stored batch whose answer was lost is not acknowledged when the broker then denies it; what follows is stored${why}`, async () => {
  const { wire, append, appender, answers, stored } = await behindWire()
  append('a')
  await appender.flush()
  let requests = 0
  wire.judge = (apiKey, frame) => {
    if (apiKey !== produceKey) return {}
    requests++
    if (requests === 1) return { loseAnswer: true }
    return requests === 2 ? { answer: produceError(frame, 45) } : {}
  }
  append('b')
  append('other', 1)
  await nextTurns()
  append('c')
  await appender.flush()
  expect(answers.filter(([value]) => value !== 'other' && value !== 'c')).toEqual([
    ['a', 0],
    ['b', 'unknown'],
  ])
  // It was stored in truth, which nobody could know; the order is kept, and nothing stands twice.
  expect(await stored()).toEqual(['a', 'b', 'c'])
  expect(answers).toContainEqual(['c', 2])
})

run(`errors that pass are waited out, with the same bytes again${why}`, async () => {
  const { wire, append, appender, answers, stored } = await behindWire()
  const passing = [6, 19, 7, 20, 56, -1, 3, 5]
  const batches = new Set<string>()
  let requests = 0
  wire.judge = (apiKey, frame) => {
    if (apiKey !== produceKey) return {}
    // The batch stands at the frame's end.
    batches.add(frame.subarray(-70).toString('hex'))
    const errorCode = passing[requests++]
    return errorCode === undefined ? {} : { answer: produceError(frame, errorCode) }
  }
  append('a')
  await appender.flush()
  expect(requests).toBe(passing.length + 1)
  expect(batches.size).toBe(1)
  expect(answers).toEqual([['a', 0]])
  expect(await stored()).toEqual(['a'])
})

run(`a fenced appender tells what is certainly not stored from what may be${why}`, async () => {
  const { wire, log, topic } = await behindWire()
  const fenced = await log.appender({ transactionalId: topic })
  await fenced.write({ topic, partition: 0, key: null, value: Buffer.from('a'), timestamp: 1 })
  let requests = 0
  wire.judge = (apiKey, frame) => {
    if (apiKey !== produceKey) return {}
    requests++
    return requests === 1 ? { loseAnswer: true } : { answer: produceError(frame, 47) }
  }
  const outcomes: unknown[] = []
  const append = (value: string): void =>
    fenced.append({ topic, partition: 0, key: null, value: Buffer.from(value), timestamp: 1 }, (error) =>
      outcomes.push([value, error instanceof FencedError && error.outcome]),
    )
  append('b')
  await nextTurns()
  append('c')
  await fenced.flush()
  append('d')
  await nextTurns()
  expect(outcomes).toEqual([
    ['b', 'unknown'],
    ['c', 'refused'],
    ['d', 'refused'],
  ])
})

/** Nothing of this process goes on meanwhile, as when it is stopped. */
const sleep = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

/** One produce request that meets trouble, and a pause of the process before it is known. */
async function pausedAfter(judge: (frame: Buffer) => Verdict) {
  // The appender looks four times a second, and a busy machine stops a process for some hundred milliseconds now and then.
  const { wire, append, appender, answers, stored } = await behindWire(1_000)
  append('a')
  await appender.flush()
  let isPaused = false
  wire.judge = (apiKey, frame) => {
    if (apiKey !== produceKey || isPaused) return {}
    isPaused = true
    const verdict = judge(frame)
    append('not sent')
    sleep(1_300)
    return verdict
  }
  append('b')
  await nextTurns()
  await appender.flush()
  append('after')
  await appender.flush()
  return { answers, stored: await stored() }
}

run(`what was sent before a pause and did not arrive is not sent again after it${why}`, async () => {
  const { answers, stored } = await pausedAfter(() => ({ cut: true }))
  expect(answers).toEqual([
    ['a', 0],
    ['not sent', 'refused'],
    ['b', 'unknown'],
    ['after', 1],
  ])
  expect(stored).toEqual(['a', 'after'])
})

run(`what was refused for the moment before a pause is not sent again after it${why}`, async () => {
  const { answers, stored } = await pausedAfter((frame) => ({ answer: produceError(frame, 6) }))
  expect(answers).toEqual([
    ['a', 0],
    ['not sent', 'refused'],
    ['b', 'refused'],
    ['after', 1],
  ])
  expect(stored).toEqual(['a', 'after'])
})

run(`what was sent before a pause counts when its answer is there after it${why}`, async () => {
  const { answers, stored } = await pausedAfter(() => ({}))
  expect(answers).toEqual([
    ['a', 0],
    ['not sent', 'refused'],
    ['b', 1],
    ['after', 2],
  ])
  expect(stored).toEqual(['a', 'b', 'after'])
})

run(`an answer that was lost in a pause is not asked for again; what follows is stored under a new producer id${why}`, async () => {
  const { answers, stored } = await pausedAfter(() => ({ loseAnswer: true }))
  expect(answers).toEqual([
    ['a', 0],
    ['not sent', 'refused'],
    ['b', 'unknown'],
    ['after', 2],
  ])
  expect(stored).toEqual(['a', 'b', 'after'])
})
