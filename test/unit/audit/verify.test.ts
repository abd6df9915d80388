import { createHash, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { beforeEach, describe, expect, test } from '@jest/globals'
import { publicBytes, type ReadCheckpoint, readStatement, signCheckpoint } from '../../../audit/checkpoint.ts'
import { type Finding, findingKinds } from '../../../audit/finding.ts'
import { readLastCheckpoint } from '../../../audit/last-checkpoint.ts'
import { FencedError, type LogRecord } from '../../../log/log.ts'
import { recordsPerMark, type ShardAudit } from '../../../router/shard-audit.ts'
import { decodeRecord, encodeRecord } from '../../../schemas/codec.ts'
import { count } from '../../support/available.ts'
import { AuditedLog, newKey, topics, type Written } from './audited-log.ts'

/** Numbers from a seed: what fails can be run again. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

function randomRecords(amount: number, seed: number): readonly Written[] {
  const random = randomOf(seed)
  const text = (): string => 'x'.repeat(Math.floor(random() * 40)) + Math.floor(random() * 1e9).toString(36)
  return Array.from({ length: amount }, () => ({
    key: random() < 0.1 ? null : text(),
    value: random() < 0.1 ? null : text(),
    timestamp: 1_800_000_000_000 + Math.floor(random() * 1000),
    headers: random() < 0.5 ? [] : [{ name: text(), value: random() < 0.3 ? null : Buffer.from(text()) }],
  }))
}

const kinds = (findings: readonly Finding[]): string[] => findings.map(({ kind }) => kind)
const statementAt = (record: LogRecord) => {
  const decoded = decodeRecord(record.value as Buffer)
  if (decoded.name !== 'AuditCheckpoint') throw new Error(decoded.name)
  return decoded.value
}

let audited: AuditedLog
beforeEach(async () => {
  audited = await AuditedLog.open()
})

test('a log that is what it was is proven from its first record to the last that has a checkpoint', async () => {
  await audited.append(randomRecords(100, 1))
  const audit = await audited.own(5)
  await audited.checkpoint(audit)
  await audited.append(randomRecords(3, 2))
  expect(await audited.verify()).toEqual({
    ok: true,
    checkpoints: 1,
    proven: [{ topic: topics.messages, partition: 0, from: 0, to: 100, records: 100, waiting: 3, cut: 0 }],
    findings: [],
    more: 0,
    removed: [],
  })
  expect(audited.troubles).toEqual([])
})

test('the chain is what its page says: SHA-256 over the value before, then offset, timestamp, key, value and headers of each record', async () => {
  await audited.append([
    { key: 'k', value: 'v', timestamp: 258, headers: [{ name: 'h', value: null }] },
    { key: null, value: null, timestamp: -1 },
  ])
  await audited.checkpoint(await audited.own(1))
  const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
  const first = createHash('sha256').update('loggerhead audit 1\nloggerhead.default.messages\n0\n0\n').digest()
  const records = [
    '0000000000000000 0000000000000102 00000001 6b 00000001 76 00000001 00000001 68 ffffffff',
    '0000000000000001 ffffffffffffffff ffffffff ffffffff 00000000',
  ]
  const value = createHash('sha256')
    .update(first)
    .update(hex(records.join('')))
    .digest('hex')
  expect(JSON.parse(statementAt(audited.records(topics.audit)[0] as LogRecord).statement.toString())).toEqual({
    audit: 1,
    shard: 0,
    sequence: 0,
    previous: null,
    term: 1,
    at: 1_800_000_000_000,
    key: publicBytes(audited.key).toString('base64'),
    chains: [{ topic: 'loggerhead.default.messages', from: [0, first.toString('hex')], begins: true, marks: [[2, 2, value]], newest: 258 }],
  })
})

describe('whatever is done to one record is found between the two marks around it', () => {
  const size = count(2 * recordsPerMark + 5, 12 * recordsPerMark + 5)
  const other = Buffer.from('another')
  const tamperings: readonly [string, Finding['kind'], (records: LogRecord[], at: number) => LogRecord[]][] = [
    ['value', 'changed', (all, at) => all.with(at, { ...(all[at] as LogRecord), value: other })],
    ['key', 'changed', (all, at) => all.with(at, { ...(all[at] as LogRecord), key: other })],
    ['timestamp', 'changed', (all, at) => all.with(at, { ...(all[at] as LogRecord), timestamp: 7 })],
    ['headers', 'changed', (all, at) => all.with(at, { ...(all[at] as LogRecord), headers: [{ name: 'new', value: null }] })],
    ['absence', 'missing', (all, at) => all.toSpliced(at, 1)],
    ['place', 'changed', (all, at) => swapped(all, at)],
  ]
  const swapped = (all: LogRecord[], at: number): LogRecord[] => {
    const next = at === all.length - 1 ? at - 1 : at + 1
    const [one, two] = [all[at] as LogRecord, all[next] as LogRecord]
    return all.with(at, { ...two, offset: one.offset }).with(next, { ...one, offset: two.offset })
  }

  test.each(tamperings)('its %s', async (_, kind, tamper) => {
    await audited.append(randomRecords(size, 3))
    await audited.checkpoint(await audited.own(1))
    const original = [...audited.records()]
    for (let at = 0; at < size; at++) {
      audited.replace(tamper(original, at))
      const { findings } = await audited.verify()
      const from = Math.floor(at / recordsPerMark) * recordsPerMark
      // Whatever its place, its mark is told; the mark of the one it changed places with may be told too.
      expect({ at, findings: findings.map((each) => [each.kind, each.from]) }).toEqual({ at, findings: expect.arrayContaining([[kind, from]]) })
      expect(findings.length).toBeLessThanOrEqual(2)
    }
    audited.replace(original)
    expect((await audited.verify()).ok).toBe(true)
  })

  test('a record more, with the offset of one that was never there', async () => {
    await audited.append(randomRecords(size, 4))
    // Gaps, as control records leave them.
    const original = audited.records().map((record) => ({ ...record, offset: record.offset * 2 + 1 }))
    audited.replace(original)
    Object.assign(audited.store.topics.get(topics.messages)?.partitions[0] as object, { endOffset: 2 * size })
    await audited.checkpoint(await audited.own(1))
    expect((await audited.verify()).ok).toBe(true)
    for (let at = 0; at < size; at++) {
      audited.replace(original.toSpliced(at, 0, { ...(original[at] as LogRecord), offset: at * 2 }))
      const { findings } = await audited.verify()
      expect({ at, findings: findings.map((each) => [each.kind, each.from, each.to]) }).toEqual({
        at,
        findings: [['inserted', at < recordsPerMark ? 0 : expect.any(Number), expect.any(Number)]],
      })
      expect(findings[0]?.from).toBeLessThanOrEqual(at * 2)
      expect(findings[0]?.to).toBeGreaterThan(at * 2)
    }
  })
})

describe('checkpoints', () => {
  /** Three of them, ten records each. */
  async function three(): Promise<void> {
    const audit = await audited.own(1)
    for (let round = 0; round < 3; round++) {
      await audited.append(randomRecords(10, round))
      await audited.checkpoint(audit)
    }
  }

  test('one that is gone from the middle is told, and what it proved is not proven', async () => {
    await three()
    audited.replace(audited.records(topics.audit).toSpliced(1, 1), topics.audit)
    const { findings, proven } = await audited.verify()
    expect(findings).toMatchObject([{ kind: 'checkpointsMissing' }, { kind: 'notCovered', from: 10, to: 20 }])
    expect(proven).toMatchObject([{ records: 20 }])
  })

  test('the last ones cut off together with their records are told by a checkpoint that was kept elsewhere', async () => {
    await three()
    const kept = (await readLastCheckpoint(audited.log, topics.audit, 0))?.checkpoint
    const expected = kept ? [kept] : []
    expect(expected).toMatchObject([{ sequence: 2 }])
    expect((await audited.verify({ expected })).ok).toBe(true)
    audited.replace(audited.records(topics.audit).slice(0, 2), topics.audit)
    audited.replace(audited.records().slice(0, 20))
    expect((await audited.verify()).ok).toBe(true)
    expect(kinds((await audited.verify({ expected })).findings)).toEqual(['expectedMissing'])
  })

  test('records that the end of the log has lost are told', async () => {
    await three()
    audited.replace(audited.records().slice(0, 25))
    Object.assign(audited.store.topics.get(topics.messages)?.partitions[0] as object, { endOffset: 25 })
    expect((await audited.verify()).findings).toMatchObject([{ kind: 'truncated', from: 20, to: 30 }])
  })

  test('one that somebody else signed, a changed one and what is none are not believed', async () => {
    await three()
    const original = [...audited.records(topics.audit)]
    const second = original[1] as LogRecord
    const forged = newKey()
    const { statement, signature } = statementAt(second)
    const text = statement.toString().replace(publicBytes(audited.key).toString('base64'), publicBytes(forged).toString('base64'))
    const as = (signed: { statement: Buffer; signature: Buffer }): LogRecord[] =>
      original.with(1, { ...second, value: encodeRecord('AuditCheckpoint', signed) })
    const findings = async (records: readonly LogRecord[]): Promise<string[]> => {
      audited.replace(records, topics.audit)
      return kinds((await audited.verify()).findings)
    }
    const after = ['checkpointsMissing', 'notCovered']
    expect(await findings(as({ statement: Buffer.from(text), signature: sign(null, Buffer.from(text), forged) }))).toEqual(['unknownKey', ...after])
    expect(await findings(as({ statement: Buffer.from(statement.toString().replace('"term":1', '"term":0')), signature }))).toEqual(['badSignature', ...after])
    expect(await findings(original.with(1, { ...second, value: Buffer.from('nothing') }))).toEqual(['notACheckpoint', ...after])
    expect(await findings(original)).toEqual([])
  })

  test('a chain that was made anew by whoever has the key goes on from what is not there', async () => {
    await three()
    // The same shard with other records under the same key, beside what an auditor keeps.
    const rewritten = await AuditedLog.open()
    Object.assign(rewritten, { key: audited.key })
    const audit = await rewritten.own(1)
    for (let round = 0; round < 3; round++) {
      await rewritten.append(randomRecords(10, 100 + round))
      await rewritten.checkpoint(audit)
    }
    const kept = (await readLastCheckpoint(audited.log, topics.audit, 0))?.checkpoint
    expect(kinds((await rewritten.verify({ expected: kept ? [kept] : [] })).findings)).toEqual(['fork'])
  })

  test('two rows of them are told as a fork', async () => {
    await three()
    const [first, ...others] = audited.records(topics.audit)
    const copies = others.map((record, index) => ({ ...record, offset: record.offset + 2 + index }))
    const rewritten = copies.map((record) => {
      const { statement } = statementAt(record)
      const other = Buffer.from(statement.toString().replace('"term":1', '"term":2'))
      return { ...record, value: encodeRecord('AuditCheckpoint', { statement: other, signature: sign(null, other, audited.key) }) }
    })
    audited.replace([first as LogRecord, ...others, ...rewritten], topics.audit)
    Object.assign(audited.store.topics.get(topics.audit)?.partitions[0] as object, { endOffset: 10 })
    expect(kinds((await audited.verify()).findings)).toEqual(['fork', 'fork'])
  })

  test('without any nothing is proven', async () => {
    expect(kinds((await audited.verify()).findings)).toEqual(['noCheckpoints'])
  })
})

describe('what retention removes', () => {
  const cut = (start: number, topic: string = topics.messages): void => {
    Object.assign(audited.store.topics.get(topic)?.partitions[0] as object, { startOffset: start })
    audited.replace(
      audited.records(topic).filter(({ offset }) => offset >= start),
      topic,
    )
  }
  const day = 86_400_000

  test('from the first mark behind the cut on the log is proven as before, without the checkpoints that went with it too', async () => {
    const audit = await audited.own(1)
    for (let round = 0; round < 3; round++) {
      await audited.append(randomRecords(2 * recordsPerMark, round))
      await audited.checkpoint(audit)
    }
    cut(2 * recordsPerMark + 5)
    const report = await audited.verify({ now: audited.now + day, topics: new Set([topics.messages]) })
    expect(report).toMatchObject({ ok: true, proven: [{ from: 3 * recordsPerMark, to: 6 * recordsPerMark, cut: recordsPerMark - 5 }] })
    cut(1, topics.audit)
    expect(await audited.verify({ now: audited.now + day })).toEqual({ ...report, checkpoints: 2 })
  })

  test('what somebody removed before its time is told', async () => {
    const audit = await audited.own(1)
    for (let round = 0; round < 2; round++) {
      await audited.append(randomRecords(10, round))
      await audited.checkpoint(audit)
    }
    cut(10)
    expect((await audited.verify()).findings).toMatchObject([{ kind: 'removedEarly', from: 0, to: 10 }])
  })

  test('the beginning of log and checkpoints cut off together before its time is told by a checkpoint that was kept elsewhere', async () => {
    const audit = await audited.own(1)
    await audited.append(randomRecords(10, 1))
    await audited.checkpoint(audit)
    const kept = (await readLastCheckpoint(audited.log, topics.audit, 0))?.checkpoint
    const expected = kept ? [kept] : []
    await audited.append(randomRecords(10, 2))
    await audited.checkpoint(audit)
    cut(10)
    cut(1, topics.audit)
    expect((await audited.verify()).ok).toBe(true)
    expect(kinds((await audited.verify({ expected })).findings)).toEqual(['expectedMissing'])
    expect((await audited.verify({ expected, now: audited.now + day })).findings).toEqual([])
  })

  test('what a bound by size removes goes whenever it comes to that, and is not told', async () => {
    const audit = await audited.own(1)
    for (let round = 0; round < 2; round++) {
      await audited.append(randomRecords(10, round))
      await audited.checkpoint(audit)
    }
    cut(10)
    expect(kinds((await audited.verify()).findings)).toEqual(['removedEarly'])
    await audited.log.changeTopicSettings(topics.messages, { 'retention.bytes': '16777216' })
    expect(await audited.verify()).toMatchObject({ ok: true, proven: [{ from: 10, to: 20 }] })
  })

  test('what it removed before it was hashed is told by owner and verifier', async () => {
    await audited.append(randomRecords(10, 1))
    await audited.checkpoint(await audited.own(1))
    await audited.append(randomRecords(10, 2))
    cut(15)
    await audited.checkpoint(await audited.own(2))
    expect(audited.gone).toEqual([5])
    expect((await audited.verify({ now: audited.now + day })).findings).toMatchObject([{ kind: 'notCovered', from: 10, to: 15 }])
  })

  /** What retention does when the verifier comes to an offset of a topic, which it reads a record at a time. */
  function whenRead(topic: string, offset: number, remove: () => void): void {
    const read = audited.log.read.bind(audited.log)
    let isDone = false
    audited.log.read = (asked, partition, at) => {
      if (!isDone && asked === topic && at >= offset) {
        isDone = true
        remove()
      }
      return read(asked, partition, at, 1)
    }
  }
  const later = (): { readonly now: number; readonly clock: () => number } => ({ now: audited.now, clock: () => audited.now + day })

  test('what it removes while the log is verified is told as removed, not as changed, and what is left is proven', async () => {
    const audit = await audited.own(1)
    for (let round = 0; round < 3; round++) {
      await audited.append(randomRecords(2 * recordsPerMark, round))
      await audited.checkpoint(audit)
    }
    whenRead(topics.messages, recordsPerMark + 8, () => cut(3 * recordsPerMark + 4))
    expect(await audited.verify(later())).toEqual({
      ok: true,
      checkpoints: 3,
      proven: [
        {
          topic: topics.messages,
          partition: 0,
          from: 0,
          to: 6 * recordsPerMark,
          // The first mark and the last two; of those that were cut, what was read and what is left.
          records: 3 * recordsPerMark,
          waiting: 0,
          cut: 8 + recordsPerMark - 4,
        },
      ],
      findings: [],
      more: 0,
      removed: [{ topic: topics.messages, partition: 0, from: recordsPerMark + 8, to: 3 * recordsPerMark + 4 }],
    })
  })

  test('what somebody removes before its time while the log is verified is told', async () => {
    const audit = await audited.own(1)
    for (let round = 0; round < 2; round++) {
      await audited.append(randomRecords(10, round))
      await audited.checkpoint(audit)
    }
    whenRead(topics.messages, 5, () => cut(12))
    expect((await audited.verify()).findings).toMatchObject([{ kind: 'removedEarly', from: 0, to: 12 }])
  })

  test('checkpoints that it removes while they are read are told as removed, one of them that was kept elsewhere too', async () => {
    const audit = await audited.own(1)
    const expected: ReadCheckpoint[] = []
    for (let round = 0; round < 3; round++) {
      await audited.append(randomRecords(10, round))
      await audited.checkpoint(audit)
      const last = await readLastCheckpoint(audited.log, topics.audit, 0)
      if (last) expected.push(last.checkpoint)
    }
    whenRead(topics.audit, 1, () => {
      cut(20)
      cut(2, topics.audit)
    })
    expect(await audited.verify({ ...later(), expected })).toMatchObject({
      ok: true,
      checkpoints: 2,
      proven: [{ from: 0, to: 30, records: 20 }],
      removed: [
        { topic: topics.audit, from: 1, to: 2 },
        { topic: topics.messages, from: 10, to: 20 },
      ],
    })
  })

  test('a topic that is asked about by name and has no chain is told as proven by nothing', async () => {
    await audited.append(randomRecords(10, 1))
    await audited.checkpoint(await audited.own(1))
    const asked = { topics: new Set([topics.messages, topics.sessions]) }
    expect(await audited.verify(asked)).toMatchObject({
      ok: false,
      proven: [{ topic: topics.messages, records: 10 }],
      findings: [{ kind: 'notCovered', topic: topics.sessions, partition: 0 }],
    })
  })

  test('records that are there still and whose checkpoints are removed meanwhile are told as proven by nothing', async () => {
    const audit = await audited.own(1)
    for (let round = 0; round < 3; round++) {
      await audited.append(randomRecords(10, round))
      await audited.checkpoint(audit)
    }
    whenRead(topics.audit, 1, () => cut(2, topics.audit))
    expect((await audited.verify(later())).findings).toMatchObject([{ kind: 'notCovered', from: 10, to: 20 }])
  })
})

describe('a new owner', () => {
  test('goes on from the last checkpoint and hashes again what lies behind it', async () => {
    await audited.append(randomRecords(40, 1))
    const first = await audited.own(1)
    await audited.checkpoint(first)
    await audited.append(randomRecords(7, 2))
    first.tick()
    await audited.until(() => first.pending === 7)
    first.close()
    await audited.append(randomRecords(5, 3))
    await audited.checkpoint(await audited.own(2))
    expect(await audited.verify()).toMatchObject({ ok: true, checkpoints: 2, proven: [{ to: 52, records: 52 }] })
  })

  test('leaves the one before it nothing to write', async () => {
    await audited.append(randomRecords(5, 1))
    const zombie = await audited.own(1)
    await audited.checkpoint(zombie)
    const successor = await audited.own(2)
    await audited.append(randomRecords(5, 2))
    await audited.checkpoint(successor)
    await audited.append(randomRecords(5, 3))
    zombie.tick()
    await audited.until(() => zombie.pending === 10)
    audited.now += 10_000
    zombie.tick()
    await audited.checkpoint(successor)
    expect(audited.troubles.filter((error) => !(error instanceof FencedError))).toEqual([])
    expect(await audited.verify()).toMatchObject({ ok: true, checkpoints: 3, proven: [{ records: 15 }] })
  })

  test('with another key is believed when the one before has named it', async () => {
    const next = newKey()
    await audited.append(randomRecords(5, 1))
    await audited.checkpoint(await audited.own(1))
    await audited.append(randomRecords(5, 2))
    const successor = await audited.own(2, [next, audited.key])
    await audited.checkpoint(successor)
    await audited.append(randomRecords(5, 3))
    await audited.checkpoint(successor)
    const keys = audited.records(topics.audit).map((record) => readStatement(statementAt(record).statement))
    expect(keys.map(({ key, nextKey }) => [key.equals(publicBytes(next)), nextKey?.equals(publicBytes(next))])).toEqual([
      [false, undefined],
      [false, true],
      [true, undefined],
    ])
    expect(await audited.verify()).toMatchObject({ ok: true, proven: [{ records: 15 }] })
  })

  /** Two checkpoints by the first key, the second of which names the other; then twelve by that one. */
  async function rotated(): Promise<{ readonly next: KeyObject; readonly owner: ShardAudit }> {
    const next = newKey()
    await audited.append(randomRecords(5, 1))
    await audited.checkpoint(await audited.own(1))
    const owner = await audited.own(2, [next, audited.key])
    for (let round = 0; round < 13; round++) {
      await audited.append(randomRecords(5, round))
      await audited.checkpoint(owner)
    }
    return { next, owner }
  }

  test('with the former key alone makes none, says so, and leaves it to whoever has the key that it has named', async () => {
    const { next } = await rotated()
    await audited.append(randomRecords(5, 3))
    const former = await audited.own(3)
    former.tick()
    await audited.until(() => audited.troubles.length > 0)
    expect(audited.troubles.map(({ message }) => message)).toEqual([expect.stringContaining('AUDIT_KEY lacks the key that signs shard 0 now')])
    await audited.checkpoint(await audited.own(4, [next]))
    expect(await audited.verify()).toMatchObject({ ok: true, checkpoints: 15, proven: [{ records: 75 }] })
  })

  test('goes on with a former key that the one behind it has named again', async () => {
    const { next } = await rotated()
    const back = await audited.own(3, [audited.key, next])
    for (let round = 0; round < 2; round++) {
      await audited.append(randomRecords(5, round))
      await audited.checkpoint(back)
    }
    expect(audited.troubles).toEqual([])
    expect(await audited.verify()).toMatchObject({ ok: true, checkpoints: 16, proven: [{ records: 80 }] })
  })

  test('what a thief of the former key signs behind the checkpoint that named its successor is refused, and leads nobody astray', async () => {
    const { next } = await rotated()
    const all = audited.records(topics.audit)
    const last = readStatement(statementAt(all.at(-1) as LogRecord).statement)
    const thief = newKey()
    const forged = signCheckpoint({ ...last, sequence: last.sequence + 1, previous: last.hash, nextKey: publicBytes(thief) }, audited.key)
    const anybody = await audited.log.appender()
    await anybody.write({ topic: topics.audit, partition: 0, key: null, value: encodeRecord('AuditCheckpoint', forged), timestamp: audited.now })
    expect(kinds((await audited.verify()).findings)).toEqual(['retiredKey'])
    expect(kinds((await audited.verify({ trusted: [audited.key, next].map(publicBytes) })).findings)).toEqual(['retiredKey'])
    const found = await readLastCheckpoint(audited.log, topics.audit, 0, [publicBytes(audited.key)])
    expect(found?.checkpoint.hash).toEqual(last.hash)
    await audited.append(randomRecords(5, 3))
    await audited.checkpoint(await audited.own(3, [next]))
    const { findings, proven } = await audited.verify()
    expect(kinds(findings)).toEqual(['retiredKey'])
    expect(proven).toMatchObject([{ records: 75 }])
  })

  test('a copy of the checkpoint that named a successor says nothing new', async () => {
    await audited.append(randomRecords(5, 1))
    await audited.checkpoint(await audited.own(1))
    await audited.append(randomRecords(5, 2))
    await audited.checkpoint(await audited.own(2, [newKey(), audited.key]))
    const { value } = audited.records(topics.audit).at(-1) as LogRecord
    await (await audited.log.appender()).write({ topic: topics.audit, partition: 0, key: null, value, timestamp: audited.now })
    expect(await audited.verify()).toMatchObject({ ok: true, proven: [{ records: 10 }] })
  })

  test('is not led astray by checkpoints that others append, signed by themselves or copied', async () => {
    await audited.append(randomRecords(5, 1))
    const first = await audited.own(1)
    await audited.checkpoint(first)
    await audited.append(randomRecords(5, 2))
    await audited.checkpoint(first)
    const thief = newKey()
    const { statement, signature } = statementAt(audited.records(topics.audit)[0] as LogRecord)
    const forged = Buffer.from(
      statement
        .toString()
        .replace(publicBytes(audited.key).toString('base64'), publicBytes(thief).toString('base64'))
        .replace('"sequence":0', `"sequence":${Number.MAX_SAFE_INTEGER}`),
    )
    const anybody = await audited.log.appender()
    for (const signed of [
      { statement: forged, signature: sign(null, forged, thief) },
      { statement, signature },
    ]) {
      await anybody.write({ topic: topics.audit, partition: 0, key: null, value: encodeRecord('AuditCheckpoint', signed), timestamp: audited.now })
    }
    await audited.append(randomRecords(5, 3))
    await audited.checkpoint(await audited.own(2))
    const { findings, proven } = await audited.verify()
    expect(kinds(findings)).toEqual(['unknownKey', 'fork'])
    expect(proven).toMatchObject([{ to: 15, records: 15 }])
  })

  test('with another key that nobody has named is not', async () => {
    const next = newKey()
    await audited.append(randomRecords(5, 1))
    await audited.checkpoint(await audited.own(1))
    await audited.append(randomRecords(5, 2))
    await audited.checkpoint(await audited.own(2, [next]))
    expect(kinds((await audited.verify()).findings)).toEqual(['unknownKey'])
    expect(await audited.verify({ trusted: [publicBytes(audited.key), publicBytes(next)] })).toMatchObject({ ok: true })
  })
})

test('a thousand records have a checkpoint at once, as they are read by the router itself', async () => {
  const audit = await audited.own(1)
  await audited.append(randomRecords(5, 1))
  await audited.checkpoint(audit)
  await audited.append(randomRecords(1_000, 2))
  const stretch = await audited.log.read(topics.messages, 0, 5)
  expect(stretch.records).toHaveLength(1_000)
  audit.offer(5, stretch)
  // One that the chain has seen, and one that it is not at yet.
  audit.offer(5, stretch)
  audit.offer(2_000, { ...stretch, nextOffset: 3_000 })
  await audited.until(() => audited.checkpoints === 2)
  expect(await audited.verify()).toMatchObject({ ok: true, checkpoints: 2, proven: [{ records: 1_005 }] })
})

test('AUDIT_READ_MAX: what is in the log already is read on when the router lets it, one topic after the other in turn', async () => {
  audited = await AuditedLog.open(['messages', 'lifecycle'])
  await audited.append(Array.from({ length: 40 }, () => ({ value: 'x'.repeat(50_000) })))
  await audited.append(randomRecords(5, 1), topics.lifecycle)
  let goOn = (): void => {}
  audited.rest = () =>
    new Promise((resolve) => {
      goOn = resolve
    })
  const audit = await audited.own(1, undefined, [topics.messages, topics.lifecycle])
  audit.tick()
  const hashed: number[] = []
  for (let rests = 1; rests <= 3; rests++) {
    await audited.until(() => audited.rests.length === rests)
    hashed.push(audit.pending)
    goOn()
  }
  // Half a MiB of messages at a time; the five of the other topic behind the first of them.
  expect(hashed).toEqual([10, 25, 35])
  expect(audited.rests).toEqual([10, 10, 10].map((records) => records * 50_003))
  await audited.until(() => audit.pending === 45 || audited.checkpoints > 0)
})

test('a chain that is switched off and on again goes on from where it was', async () => {
  audited = await AuditedLog.open(['messages', 'lifecycle'])
  const both = [topics.messages, topics.lifecycle]
  const write = async (seed: number): Promise<void> => {
    await audited.append(randomRecords(5, seed))
    await audited.append(randomRecords(5, seed + 1), topics.lifecycle)
  }
  await write(1)
  await audited.checkpoint(await audited.own(1, undefined, both))
  await write(3)
  await audited.checkpoint(await audited.own(2))
  await write(5)
  await audited.checkpoint(await audited.own(3, undefined, both))
  expect(await audited.verify()).toMatchObject({ ok: true, checkpoints: 3, proven: [{ records: 15 }, { records: 15 }] })
})

test('a chain that is switched off is forgotten once retention has removed the place where it rests', async () => {
  audited = await AuditedLog.open(['messages', 'lifecycle'])
  await audited.append(randomRecords(5, 1), topics.lifecycle)
  await audited.checkpoint(await audited.own(1, undefined, [topics.messages, topics.lifecycle]))
  const lastTopics = async (): Promise<string[] | undefined> =>
    (await readLastCheckpoint(audited.log, topics.audit, 0))?.checkpoint.links.map(({ topic }) => topic)
  await audited.append(randomRecords(5, 2), topics.lifecycle)
  for (const [term, start, expected] of [
    [2, 5, [topics.messages, topics.lifecycle]],
    [3, 6, [topics.messages]],
  ] as const) {
    Object.assign(audited.store.topics.get(topics.lifecycle)?.partitions[0] as object, { startOffset: start })
    await audited.append(randomRecords(5, term))
    await audited.checkpoint(await audited.own(term))
    expect(await lastTopics()).toEqual(expected)
  }
})

test('a shard without records has a checkpoint from the start, which says where its chains begin', async () => {
  const audit = await audited.own(1)
  audit.tick()
  await audited.until(() => audited.checkpoints === 1)
  expect(await audited.verify()).toMatchObject({ ok: true, checkpoints: 1, proven: [{ from: 0, to: 0, records: 0, waiting: 0 }] })
  await audited.append(randomRecords(3, 1))
  await audited.checkpoint(audit)
  expect(await audited.verify()).toMatchObject({ ok: true, proven: [{ to: 3, records: 3 }] })
})

test('the page on the audit says what each finding means', () => {
  const page = readFileSync(new URL('../../../docs/audit.md', import.meta.url), 'utf8')
  for (const kind of findingKinds) expect(page).toContain(`\`${kind}\``)
})

test('records that nobody took into a checkpoint for long are told', async () => {
  await audited.append(randomRecords(5, 1))
  const audit = await audited.own(1)
  await audited.checkpoint(audit)
  audit.close()
  await audited.append(randomRecords(3, 2))
  expect((await audited.verify({ now: audited.now + 60 * 60_000 })).findings).toMatchObject([{ kind: 'behind', from: 5, to: 8 }])
})
