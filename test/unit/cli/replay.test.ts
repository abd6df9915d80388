import { EventEmitter } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { parquetReadObjects } from 'hyparquet'
import type { MqttClient } from 'mqtt'
import { type Json, Refused } from '../../../cli/api-client.ts'
import { Failure } from '../../../cli/failure.ts'
import { CursorFile, parseProgress } from '../../../cli/replay/cursor-file.ts'
import { isOwnTopic, KafkaTarget, recordOf } from '../../../cli/replay/kafka-target.ts'
import { LineFile } from '../../../cli/replay/line-file.ts'
import { MqttTarget, publishOf } from '../../../cli/replay/mqtt-target.ts'
import type { ReplayOutput } from '../../../cli/replay/output.ts'
import { Pace } from '../../../cli/replay/pace.ts'
import { ParquetFolder, parquetOf, partName } from '../../../cli/replay/parquet-folder.ts'
import { type HistoryApi, past } from '../../../cli/replay/past.ts'
import { lineOf } from '../../../cli/replay/printer.ts'
import { positionsLeft } from '../../../cli/replay/progress-bar.ts'
import { type ReplayOutcome, replay } from '../../../cli/replay/replay.ts'
import { csvHeader, csvRow, jsonRow } from '../../../cli/replay/rows.ts'
import { checkSelection } from '../../../cli/replay/run.ts'
import { type HistoryLine, historyLine, messageOfLine } from '../../../history/history-line.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loggerhead-replay-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const start = Date.parse('2026-01-31T12:00:00Z')
const line = (offset: number, but: Partial<HistoryLine> = {}): HistoryLine => ({
  position: `0:${offset}`,
  messageId: '00'.repeat(16),
  receivedAt: new Date(start + offset * 1_000).toISOString(),
  topic: 'a/1',
  qos: 1,
  retain: false,
  clientId: 'pump',
  authenticationName: 'Pump',
  gateway: 'gateway-1',
  protocolVersion: 5,
  payload: String(offset),
  cursor: `0:${offset + 1}`,
  ...but,
})
const rich = line(7, {
  qos: 2,
  retain: true,
  messageExpiryInterval: 4_294_967_295,
  payloadFormatIndicator: 1,
  contentType: 'text/plain, "quoted"',
  responseTopic: 'answers\n',
  correlationDataBase64: 'AQI=',
  userProperties: [
    { name: 'x', value: '1' },
    { name: 'y', value: '' },
    { name: 'x', value: '2' },
  ],
})
const raw = line(8, { payloadBase64: '/wA=' })
delete (raw as { payload?: string }).payload

/** A log of one partition behind the API; `breaks` says after which line of an answer it breaks off. */
function apiOf(lines: readonly HistoryLine[], breaks: readonly number[] = [], asked: URLSearchParams[] = []): HistoryApi {
  const left = [...breaks]
  return {
    path: (...segments) => segments.join('/'),
    async *pieces(path) {
      const query = new URLSearchParams(path.split('?')[1])
      asked.push(query)
      const position = /^0:(\d+)$/.exec(query.get('from') as string)
      const from = position ? Number(position[1]) : 0
      const count = left.shift() ?? Number.POSITIVE_INFINITY
      yield [{ progress: true, cursor: `0:${from}`, to: `0:${lines.length}` }]
      const told = lines.slice(from, from + Math.min(count, Number(query.get('limit') ?? count)))
      for (const each of told) yield [each as unknown as Json]
      if (told.length >= count) throw new Error('terminated')
      yield [{ end: true, cursor: `0:${from + told.length}` }]
    },
  }
}
const selection = { filter: 'a/#', from: '-PT1H', to: null, client: null, as: null, access: null, limit: null }
const fresh = { cursor: null, to: null, messages: 0 }
const waitless = { signal: new AbortController().signal, wait: async () => {} }
const ten = Array.from({ length: 10 }, (_, i) => line(i))

async function offsets(stretches: AsyncIterable<{ readonly lines: readonly HistoryLine[] }>): Promise<number[]> {
  const all: number[] = []
  for await (const { lines } of stretches) for (const { payload } of lines) all.push(Number(payload))
  return all
}
const each = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i)

test('a line is the message again, whatever properties it has and whether it is text or not', () => {
  for (const one of [rich, raw, ten[3] as HistoryLine]) {
    const record = {
      offset: Number(one.position.slice(2)),
      timestamp: 0,
      partition: 0,
      key: Buffer.from(one.topic),
      value: Buffer.from(encodeMessage(messageOfLine(one))),
    }
    // biome-ignore lint/suspicious/noExplicitAny: of what was found, a line takes place and value
    expect(historyLine({ source: 0, record } as any, one.cursor)).toEqual(one)
  }
})

test('a stream that breaks off is gone on with behind its last line, to the end that the first one had', async () => {
  const asked: URLSearchParams[] = []
  expect(await offsets(past(apiOf(ten, [3, 0, 4], asked), selection, fresh, waitless))).toEqual(each(10))
  expect(asked.map((query) => [query.get('from'), query.get('to')])).toEqual([
    ['-PT1H', null],
    ['0:3', '0:10'],
    ['0:3', '0:10'],
    ['0:7', '0:10'],
  ])
})

test('a stream that brings nothing any more is given up, and one that is refused at once', async () => {
  const silent = apiOf(ten, [2, ...Array.from({ length: 50 }, () => 0)])
  await expect(offsets(past(silent, selection, fresh, waitless))).rejects.toThrow('the past cannot be read on: terminated')
  const refusing: HistoryApi = {
    path: () => '',
    // biome-ignore lint/correctness/useYield: it is refused before anything comes
    async *pieces() {
      throw new Refused('GET /history', { status: 503, body: { detail: 'too many' } })
    },
  }
  await expect(offsets(past(refusing, selection, fresh, waitless))).rejects.toThrow('503 too many')
})

test('a limit counts over all attempts, and over all runs', async () => {
  expect(await offsets(past(apiOf(ten, [3, 2]), { ...selection, limit: 7 }, fresh, waitless))).toEqual(each(7))
  expect(await offsets(past(apiOf(ten), { ...selection, limit: 7 }, { cursor: '0:4', to: '0:10', messages: 4 }, waitless))).toEqual(each(3, 4))
})

test('a message that cannot be read is told of and passed over; so is what retention has removed', async () => {
  let attempt = 0
  const api: HistoryApi = {
    path: () => '',
    async *pieces() {
      if (attempt++ === 0) yield [{ progress: true, cursor: '0:0', to: '0:3' }, line(0) as unknown as Json, { error: 'cut', cursor: '0:2' }]
      else yield [line(2) as unknown as Json, { end: true, cursor: '0:3', gone: 5 }]
    },
  }
  const notes: string[] = []
  const all: number[] = []
  for await (const { lines, note } of past(api, selection, fresh, waitless)) {
    if (note !== undefined) notes.push(note)
    for (const { payload } of lines) all.push(Number(payload))
  }
  expect(all).toEqual([0, 2])
  expect(notes).toEqual(['what stands before 0:2 cannot be read: cut', '5 positions were removed by retention before they were read'])
})

test('pace: messages are as far apart as they were, or so many times closer; without one all are due', () => {
  const twice = new Pace(2)
  expect([twice.dueInMs(1_000, 50_000), twice.dueInMs(5_000, 50_000), twice.dueInMs(5_000, 51_500), twice.dueInMs(5_000, 60_000)]).toEqual([
    0, 2_000, 500, -8_000,
  ])
  const none = new Pace(null)
  expect([none.dueInMs(1_000, 0), none.dueInMs(9_000_000, 0)]).toEqual([0, 0])
})

test('how much is left is what every partition has before its end, those read beyond it and those without an end aside', () => {
  expect(positionsLeft('0:5,1:10,2:0', '0:15,1:10,2:7')).toBe(17)
  expect(positionsLeft('0:20,3:1', '0:15')).toBe(0)
})

test('a row of CSV is quoted where it has to be; what a message does not have is empty', () => {
  expect(csvHeader.split(',').length).toBe(19)
  expect(csvRow(rich)).toBe(
    `0:7,${'00'.repeat(16)},2026-01-31T12:00:07.000Z,a/1,2,true,pump,Pump,gateway-1,5,4294967295,1,"text/plain, ""quoted""","answers\n",AQI=,"[{""name"":""x"",""value"":""1""},{""name"":""y"",""value"":""""},{""name"":""x"",""value"":""2""}]",7,,\n`,
  )
  expect(csvRow(raw)).toMatch(/,5,,,,,,,,\/wA=,\n$/)
  expect(csvRow(line(2, { payload: '', erased: true }))).toMatch(/,,,true\n$/)
  expect(JSON.parse(jsonRow(rich))).toEqual({ ...rich, cursor: undefined })
})

test('Parquet has every column of every message, bytes as bytes, and null for what a message does not have', async () => {
  const rows = await parquetReadObjects({ file: parquetOf([rich, raw, line(2, { payload: '', erased: true })]).buffer as ArrayBuffer, utf8: false })
  expect(rows).toEqual([
    {
      partition: 0,
      offset: 7n,
      messageId: '00'.repeat(16),
      receivedAt: new Date(rich.receivedAt),
      topic: 'a/1',
      qos: 2,
      retain: true,
      clientId: 'pump',
      authenticationName: 'Pump',
      gateway: 'gateway-1',
      protocolVersion: 5,
      messageExpiryInterval: 4_294_967_295n,
      payloadFormatIndicator: 1,
      contentType: 'text/plain, "quoted"',
      responseTopic: 'answers\n',
      correlationData: new Uint8Array([1, 2]),
      userProperties: rich.userProperties,
      payload: new Uint8Array([0x37]),
      erased: false,
    },
    expect.objectContaining({ offset: 8n, userProperties: null, contentType: null, correlationData: null, payload: new Uint8Array([0xff, 0]) }),
    expect.objectContaining({ offset: 2n, payload: new Uint8Array(), erased: true }),
  ])
})

test('a publish repeats QoS, RETAIN and properties under the topic with its prefix; MQTT 3.1.1 has no properties', () => {
  const properties = {
    messageExpiryInterval: 4_294_967_295,
    payloadFormatIndicator: true,
    contentType: 'text/plain, "quoted"',
    responseTopic: 'answers\n',
    correlationData: Buffer.from([1, 2]),
    userProperties: { x: ['1', '2'], y: [''] },
  }
  expect(publishOf(rich, { topicPrefix: 'again/', keepsRetain: true, withProperties: true })).toEqual(['again/a/1', { qos: 2, retain: true, properties }])
  expect(publishOf(rich, { topicPrefix: '', keepsRetain: false, withProperties: false })).toEqual(['a/1', { qos: 2, retain: false }])
})

test('printed, a message that was erased, or is unreadable, says so', () => {
  expect(lineOf(line(2, { payload: '', erased: true, unreadable: true }))).toBe('2026-01-31T12:00:02.000Z a/1 (unreadable)')
  expect([lineOf(line(2, { payload: '', erased: true })), lineOf(line(1))]).toEqual(['2026-01-31T12:00:02.000Z a/1 (erased)', '2026-01-31T12:00:01.000Z a/1 1'])
})

test('a Kafka record is what a route would have written, and says where the message stood', () => {
  const headersOf = ({ headers }: ReturnType<typeof recordOf>) => Object.fromEntries(headers.map(({ name, value }) => [name, String(value)]))
  const plain = recordOf(rich, 'raw', 'default')
  expect([String(plain.value), headersOf(plain)]).toEqual([
    '7',
    expect.objectContaining({ mqtt_topic: 'a/1', mqtt_qos: '2', mqtt_user_property_y: '', loggerhead_position: '0:7' }),
  ])
  const event = recordOf(line(1), 'cloudEventsBinary', 'default')
  expect(headersOf(event)).toMatchObject({ ce_id: '00'.repeat(16), ce_source: 'default', ce_subject: 'a/1', loggerhead_position: '0:1' })
  expect(JSON.parse(String(recordOf(line(1), 'cloudEventsStructured', 'default').value))).toMatchObject({ specversion: '1.0', subject: 'a/1' })
})

test('what was erased is published to nobody: its place is not an empty message, which would clear what is retained', async () => {
  const lines = [line(0), line(1, { payload: '', retain: true, erased: true }), line(2)]
  const published: unknown[][] = []
  const client = new EventEmitter() as unknown as MqttClient
  client.publish = ((...[topic, payload, , done]: [string, Buffer, object, () => void]) => {
    published.push([topic, String(payload)])
    done()
  }) as unknown as MqttClient['publish']
  const broker = new MqttTarget({ client, topicPrefix: '', keepsRetain: true, withProperties: true })
  await broker.write(lines)
  await broker.settle()
  expect(published).toEqual([
    ['a/1', '0'],
    ['a/1', '2'],
  ])

  const log = new MemoryLog()
  await log.createTopics([{ name: 'out', partitions: 1, replication: 1, settings: {} }])
  const topic = await KafkaTarget.open(log, 'out', 'raw', 'default')
  await topic.write(lines)
  expect((await log.endOffsets('out')).get(0)).toBe(2)
  await topic.close()
})

test('the broker’s own topics are known by their names', () => {
  expect(['loggerhead.default.messages', 'loggerhead.other.registry'].map((topic) => isOwnTopic(topic, 'loggerhead'))).toEqual([true, true])
  expect(
    ['loggerhead.default.topic.events', 'events', 'another.default.messages', 'loggerhead.default'].map((topic) => isOwnTopic(topic, 'loggerhead')),
  ).toEqual([false, false, false, false])
})

const purpose = { ...selection, namespace: 'default', output: 'file out.ndjson' }

test.each([
  ['{', 'is not JSON'],
  ['null', 'is not that of a replay'],
  ['{"cursor": 1}', 'is not that of a replay'],
  [JSON.stringify({ purpose, cursor: '0:1', to: null, messages: -1, standing: {}, isDone: false }), 'is not that of a replay'],
  [
    JSON.stringify({ purpose: { ...purpose, filter: 'b/#' }, cursor: '0:1', to: null, messages: 1, standing: { bytes: 1 }, isDone: false }),
    'is that of another replay: its filter is "b/#", not "a/#"',
  ],
])('a cursor file of %s is of no use', (text, why) => {
  expect(parseProgress(text, purpose)).toBe(why)
})

/** Runs a replay until its output has taken `count` messages, then as `how` says: the process is gone, or told to stop. */
async function replayInto(
  open: (standing: object) => Promise<ReplayOutput>,
  how: 'killed' | 'stopped' | 'left alone',
  count = 4,
  noteEveryMs = 60_000,
  lines: readonly HistoryLine[] = ten,
): Promise<ReplayOutcome | undefined> {
  const stopping = new AbortController()
  let taken = 0
  const killed = new Error('killed')
  const options = {
    api: apiOf(lines),
    purpose,
    pace: new Pace(null),
    cursorFile: new CursorFile(join(folder, 'cursor')),
    progress: { at() {}, note() {}, end() {} },
    signal: stopping.signal,
    noteEveryMs,
    open: async (standing: object): Promise<ReplayOutput> => {
      const output = await open(standing)
      return {
        async write(some) {
          if (how === 'killed' && taken >= count) throw killed
          await output.write(some)
          taken += some.length
          if (how === 'stopped' && taken >= count) stopping.abort()
        },
        settle: (isLast) => output.settle(isLast),
        close: () => output.close(),
      }
    },
  }
  return replay(options).catch((error) => {
    if (error !== killed) throw error
    return undefined
  })
}

for (const [format, header] of [
  ['ndjson', ''],
  ['csv', csvHeader],
] as const) {
  test(`${format}: killed, killed again, stopped and gone on with, a file has every message once`, async () => {
    const path = join(folder, `out.${format}`)
    const open = (standing: object) => LineFile.open(path, format, standing)
    await replayInto(open, 'killed', 2)
    await replayInto(open, 'killed', 3, 0)
    // What stood behind the last note may be cut anywhere.
    await writeFile(path, '{"torn', { flag: 'a' })
    await replayInto(open, 'stopped', 1)
    const rows = (await readFile(path, 'utf8')).slice(header.length).split('\n').slice(0, -1)
    expect(rows).toHaveLength(4)
    await writeFile(path, '{"torn', { flag: 'a' })
    await replayInto(open, 'killed', 2)
    expect(await replayInto(open, 'left alone')).toMatchObject({ messages: 10, isDone: true, wasDone: false })
    expect(await readFile(path, 'utf8')).toBe(header + ten.map(format === 'csv' ? csvRow : jsonRow).join(''))
    const { size } = await stat(path)
    expect(await replayInto(open, 'left alone')).toMatchObject({ messages: 10, isDone: true, wasDone: true })
    expect((await stat(path)).size).toBe(size)
  })
}

test('a file that has become shorter than what was written is not gone on with', async () => {
  const path = join(folder, 'out.ndjson')
  const open = (standing: object) => LineFile.open(path, 'ndjson', standing)
  await replayInto(open, 'stopped')
  await truncate(path, 10)
  await expect(replayInto(open, 'left alone')).rejects.toThrow(Failure)
})

test('Parquet: killed, stopped and gone on with, the parts together have every message once, and each can be read at any time', async () => {
  const path = join(folder, 'out.parquet')
  const open = (standing: object) => ParquetFolder.open(path, standing)
  const rows = async (): Promise<number[]> => {
    const names = (await readdir(path)).filter((name) => !name.startsWith('.')).sort()
    const all: number[] = []
    for (const name of names) {
      const bytes = await readFile(join(path, name))
      for (const { offset } of await parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer }))
        all.push(Number(offset))
    }
    return all
  }
  await replayInto(open, 'killed')
  expect(await rows()).toEqual([])
  await replayInto(open, 'stopped', 3)
  expect(await rows()).toEqual(each(3))
  // A part that nobody has noted, and one that was not finished.
  await writeFile(join(path, partName(1)), 'PAR1')
  await writeFile(join(path, `.${partName(2)}.unfinished`), 'PAR1')
  await replayInto(open, 'left alone')
  expect(await rows()).toEqual(each(10))
  expect((await readdir(path)).sort()).toEqual([partName(0), partName(1)])
  await rm(join(path, partName(0)))
  await rm(join(folder, 'cursor'))
  await writeFile(join(folder, 'cursor'), JSON.stringify({ purpose, cursor: '0:1', to: '0:10', messages: 1, standing: { parts: 1 }, isDone: false }))
  await expect(replayInto(open, 'left alone')).rejects.toThrow(`${partName(0)} is not there any more`)
})

test('Parquet of nothing is a table without rows that has its columns', async () => {
  const path = join(folder, 'out.parquet')
  await replayInto((standing) => ParquetFolder.open(path, standing), 'left alone', 0, 0, [])
  const bytes = await readFile(join(path, partName(0)))
  expect(await parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer })).toEqual([])
})

test('whose eyes and when are asked of the API, in every part of the stream', async () => {
  const asked: URLSearchParams[] = []
  await offsets(past(apiOf(ten, [3], asked), { ...selection, as: 'pump', access: 'then' }, fresh, waitless))
  expect(asked.map((query) => [query.get('as'), query.get('access')])).toEqual([
    ['pump', 'then'],
    ['pump', 'then'],
  ])
})

test('a beginning that is gone is told, once, beside what is there', async () => {
  const since = '2026-01-31T12:00:00.000Z'
  const api: HistoryApi = {
    path: (...segments) => segments.join('/'),
    async *pieces() {
      yield [{ progress: true, cursor: '0:5', to: '0:6', since }, line(5) as unknown as Json]
      yield [{ end: true, cursor: '0:6', since, gone: 2 }]
    },
  }
  const notes: (string | undefined)[] = []
  for await (const { note } of past(api, selection, fresh, waitless)) notes.push(note)
  expect(notes).toEqual([
    `history begins at ${since}: of what was published before, something is gone`,
    '2 positions were removed by retention before they were read',
  ])
})

test.each([
  ['a/#', { from: 'yesterday' }, /^--from is neither a time in UTC/],
  ['a/#', { from: '-PT1H', to: '0:x' }, /^--to is neither a time in UTC/],
  ['a/#', { from: '-PT1H', to: '-PT2H' }, /^--to is before --from: 2026-01-31T10:00:00.000Z is before 2026-01-31T11:00:00.000Z/],
  ['a/#/b', { from: '-PT1H' }, /^the topic filter “a\/#\/b” /],
  ['a/#', { from: '-PT1H', to: '-PT1M' }, null],
  ['a/#', { from: '0:5', to: '-PT1M' }, null],
] as [string, { from: string; to?: string }, RegExp | null][])('what cannot be replayed is refused before there is a file: %s %j', (filter, range, why) => {
  const check = () => checkSelection(filter, range, Date.parse('2026-01-31T12:00:00Z'))
  if (why) expect(check).toThrow(why)
  else expect(check).not.toThrow()
})
