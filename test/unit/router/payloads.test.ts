import { expect, test } from '@jest/globals'
import type { Log, Stretch } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { gone, Payloads } from '../../../router/payloads.ts'

const topic = 'messages'

/** A log with `count` records in partition 0, whose reads are counted and can be held back. */
async function given(count: number, options: { valueSize?: number; bytesMax?: number } = {}) {
  const log = new MemoryLog()
  await log.createTopics([{ name: topic, partitions: 2, replication: 1, settings: {} }])
  const appender = await log.appender()
  for (let i = 0; i < count; i++) {
    const value = Buffer.concat([Buffer.from(`v${i}`), Buffer.alloc(options.valueSize ?? 0)])
    void appender.write({ topic, partition: 0, key: Buffer.from('k'), value, timestamp: 0 })
  }
  await appender.flush()
  const reads: number[] = []
  const failures: Error[] = []
  let held: Promise<void> | undefined
  const counting = {
    read: async (...args: Parameters<Log['read']>): Promise<Stretch> => {
      reads.push(args[2])
      await held
      return log.read(...args)
    },
    startOffsets: (name: string) => log.startOffsets(name),
  } as Log
  const payloads = new Payloads({ log: counting, topic, bytesMax: options.bytesMax ?? 10_000_000, onFailure: (error) => failures.push(error) })
  /** The value's text, `gone`, or what comes once it was read. */
  const get = (offset: number): Promise<string> =>
    new Promise((resolve) => {
      const ask = (): void => {
        const value = payloads.get(0, offset, ask)
        if (value === gone) resolve('gone')
        else if (value !== undefined) resolve(value.toString('latin1').split('\0')[0] as string)
      }
      ask()
    })
  const hold = (until: Promise<void> | undefined): void => {
    held = until
  }
  return { log, payloads, reads, failures, get, hold }
}

test('what was just fetched is there at once', async () => {
  const { log, payloads, reads } = await given(10)
  payloads.keep(await log.read(topic, 0, 3))
  expect(payloads.get(0, 5, () => {})?.toString()).toBe('v5')
  expect(reads).toEqual([])
})

test('those who ask in one turn share reads, lowest position first', async () => {
  const { get, reads } = await given(10)
  expect(await Promise.all([get(7), get(3), get(9), get(3)])).toEqual(['v7', 'v3', 'v9', 'v3'])
  expect(reads).toEqual([3])
})

test('what a new leader does not show yet is waited for, not taken for gone', async () => {
  const { log, failures } = await given(10)
  let isBehind = true
  const lagging = {
    read: async (...[name, partition, offset]: Parameters<Log['read']>): Promise<Stretch> => {
      const stretch = await log.read(name, partition, offset)
      if (!isBehind) return stretch
      isBehind = false
      return { ...stretch, records: [], nextOffset: offset, endOffset: offset }
    },
  } as Log
  const payloads = new Payloads({ log: lagging, topic, bytesMax: 10_000, onFailure: (error) => failures.push(error) })
  const value = await new Promise((resolve) => {
    const ask = (): void => {
      const found = payloads.get(0, 7, ask)
      if (found !== undefined) resolve(found)
    }
    ask()
  })
  expect(String(value)).toBe('v7')
})

test('an earlier position asked for while a later one is read is read itself, not taken for gone', async () => {
  const { get, reads, hold } = await given(10)
  const release = Promise.withResolvers<void>()
  hold(release.promise)
  const late = get(8)
  await new Promise((resolve) => setImmediate(resolve))
  const early = get(2)
  hold(undefined)
  release.resolve()
  expect(await Promise.all([late, early])).toEqual(['v8', 'v2'])
  expect(reads).toEqual([8, 2])
})

test('what retention removed is gone, for everybody who asks, and what stands behind it is not', async () => {
  const { log, get } = await given(10)
  log.store.truncate(topic, 0, 6)
  expect(await Promise.all([get(2), get(2), get(7), get(5)])).toEqual(['gone', 'gone', 'v7', 'gone'])
})

test('what is gone is read once for a herd', async () => {
  const { log, get, reads } = await given(10)
  log.store.truncate(topic, 0, 6)
  await Promise.all(Array.from({ length: 100 }, () => get(2)))
  expect(reads).toEqual([2])
})

test('one read tells of all that retention removed, whenever it is asked for', async () => {
  const { log, payloads, get, reads } = await given(1_000)
  log.store.truncate(topic, 0, 900)
  expect(new Set(await Promise.all(Array.from({ length: 900 }, (_, offset) => get(offset))))).toEqual(new Set(['gone']))
  expect(reads).toEqual([0])
  expect([payloads.get(0, 450, () => {}), await get(899), await get(900)]).toEqual([gone, 'gone', 'v900'])
  expect(reads).toEqual([0, 900])
})

test('where a partition begins is asked again when it was not answered', async () => {
  const { log, failures } = await given(10)
  log.store.truncate(topic, 0, 6)
  let fails = 1
  const flaky = {
    read: (...args: Parameters<Log['read']>) => log.read(...args),
    startOffsets: (name: string) => (fails-- > 0 ? Promise.reject(new Error('away')) : log.startOffsets(name)),
  } as Log
  const payloads = new Payloads({ log: flaky, topic, bytesMax: 1_000, onFailure: (error) => failures.push(error) })
  await new Promise<void>((resolve) => payloads.get(0, 3, resolve))
  expect([payloads.get(0, 3, () => {}), failures.map(({ message }) => message)]).toEqual([gone, ['away']])
})

test('of what is gone and was not asked for again, only the newest is remembered', async () => {
  const { log, payloads, get, reads } = await given(0)
  const appender = await log.appender()
  for (let i = 0; i <= 10_000; i++) appender.append({ topic, partition: 0, key: Buffer.from('k'), value: null, timestamp: 0 }, () => {})
  await appender.flush()
  const left = Array.from({ length: 10_001 }, (_, offset) => new Promise<void>((resolve) => payloads.get(0, offset, resolve)))
  await Promise.all(left)
  reads.length = 0
  expect([await get(10_000), await get(1), await get(0)]).toEqual(['gone', 'gone', 'gone'])
  expect(reads).toEqual([0])
})

test('a position without a value is gone, its neighbours are not', async () => {
  const { log, get } = await given(2)
  const appender = await log.appender()
  await appender.write({ topic, partition: 0, key: Buffer.from('k'), value: null, timestamp: 0 })
  expect(await Promise.all([get(1), get(2)])).toEqual(['v1', 'gone'])
})

test('a read that fails is tried again', async () => {
  const { log, get, failures, payloads } = await given(3)
  let fails = 1
  const flaky = new Payloads({
    log: { read: (...args: Parameters<Log['read']>) => (fails-- > 0 ? Promise.reject(new Error('away')) : log.read(...args)) } as Log,
    topic,
    bytesMax: 1_000,
    onFailure: (error) => failures.push(error),
  })
  expect(payloads).toBeDefined()
  expect(await get(1)).toBe('v1')
  const value = await new Promise<Buffer | typeof gone | undefined>((resolve) => {
    flaky.get(0, 1, () => resolve(flaky.get(0, 1, () => {})))
  })
  expect([value?.toString(), failures.map(({ message }) => message)]).toEqual(['v1', ['away']])
})

test('many positions far apart are all served although little is kept', async () => {
  const { get } = await given(400, { valueSize: 10_000, bytesMax: 100_000 })
  const offsets = Array.from({ length: 40 }, (_, i) => (i * 97) % 400)
  expect(await Promise.all(offsets.map(get))).toEqual(offsets.map((offset) => `v${offset}`))
})

test('a shard that comes back and is read from further back is served right', async () => {
  const { log, payloads, get } = await given(30)
  payloads.keep(await log.read(topic, 0, 20))
  payloads.keep(await log.read(topic, 0, 5, 1))
  payloads.keep(await log.read(topic, 0, 6, 1))
  expect([payloads.get(0, 5, () => {})?.toString(), payloads.get(0, 6, () => {})?.toString()]).toEqual(['v5', 'v6'])
  expect(await get(25)).toBe('v25')
})

test('of a fetch most of which nobody is owed only what is owed is held; a fetch that is owed whole is held without a copy', async () => {
  const { payloads } = await given(0)
  const fetched = Buffer.alloc(100_000, 'x')
  const stretch = (partition: number, ...values: readonly Buffer[]) => ({
    topic,
    partition,
    records: values.map((value, offset) => ({ partition, offset, timestamp: 1, key: null, value, headers: [] })),
    nextOffset: values.length,
    endOffset: values.length,
  })
  payloads.keep(stretch(0, fetched.subarray(0, 10)))
  payloads.keep(stretch(1, fetched.subarray(0, 50_000), fetched.subarray(50_000)))
  const kept = (partition: number) => payloads.get(partition, 0, () => {}) as Buffer
  expect([kept(0).toString(), kept(0).buffer === fetched.buffer]).toEqual(['x'.repeat(10), false])
  expect(kept(1).buffer === fetched.buffer).toBe(true)
})
