/** `loggerhead audit verify` and `head`: read Kafka themselves and need no service. */
import { isSigned, publicBytes, type ReadCheckpoint, readStatement, StatementError } from '../audit/checkpoint.ts'
import type { Finding, Proven } from '../audit/finding.ts'
import { KeyError, readPublicKeys } from '../audit/keys.ts'
import { readLastCheckpoint } from '../audit/last-checkpoint.ts'
import { type VerifyReport, verifyLog } from '../audit/verify.ts'
import type { Log } from '../log/log.ts'
import { type TopicNames, topicKinds } from '../log/topics.ts'
import { Failure } from './failure.ts'
import { firstAnswer } from './first-answer.ts'
import { readText } from './input.ts'
import { openLog } from './kafka.ts'
import { namespaceTopics } from './namespace-topics.ts'
import { table } from './output.ts'
import type { Surroundings } from './surroundings.ts'

export interface VerifyCommandOptions {
  readonly key: readonly string[]
  readonly expect?: string
  readonly topic?: readonly string[]
}

async function withLog<T>(around: Surroundings, work: (log: Log, names: TopicNames) => Promise<T>): Promise<T> {
  const log = openLog(around.environment)
  try {
    const names = await namespaceTopics(log, around)
    if (!(await firstAnswer(log, log.topicExists(names.audit), 'KAFKA_BROKERS'))) throw new Failure(`there is no topic ${names.audit}`)
    return await work(log, names)
  } finally {
    await log.close()
  }
}

async function readKeys(files: readonly string[]): Promise<readonly Buffer[]> {
  const keys: Buffer[] = []
  for (const file of files) {
    try {
      keys.push(...readPublicKeys(await readText(file)).map(publicBytes))
    } catch (error) {
      throw error instanceof KeyError ? new Failure(`--key: the file “${file}” ${error.message}`) : error
    }
  }
  return keys
}

/** The lines of `audit head`. Throws Failure for one that is none. */
function readExpected(text: string): readonly ReadCheckpoint[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.map((line, index) => {
    try {
      const { statement, signature } = JSON.parse(line) as { readonly statement: string; readonly signature: string }
      const signed = { statement: Buffer.from(statement), signature: Buffer.from(signature, 'base64') }
      const checkpoint = readStatement(signed.statement)
      if (!isSigned(signed, checkpoint.key)) throw new StatementError('its signature is wrong')
      return checkpoint
    } catch (error) {
      throw new Failure(`--expect: line ${index + 1} is no checkpoint that “audit head” has printed: ${(error as Error).message}`)
    }
  })
}

const columns = [
  { title: 'TOPIC', of: ({ topic }: Proven) => topic },
  { title: 'PARTITION', of: ({ partition }: Proven) => partition },
  { title: 'PROVEN FROM', of: ({ from }: Proven) => from },
  { title: 'TO', of: ({ to }: Proven) => to },
  { title: 'RECORDS', of: ({ records }: Proven) => records },
  { title: 'WAITING', of: ({ waiting }: Proven) => waiting },
]

/** A report as text. */
export function reportText({ proven, findings, more, removed, checkpoints }: VerifyReport): string {
  const where = ({ topic, partition, from, to }: Finding): string => `${topic}[${partition}]${from === undefined ? '' : ` ${from} to ${to}`}`
  const none = removed.length > 0 ? 'nothing was changed or inserted, and nothing removed but by retention' : 'nothing was changed, removed or inserted'
  return [
    table(proven, columns),
    ...removed.map(({ topic, partition, from, to }) => `– removed by retention while this was read: ${topic}[${partition}] ${from} to ${to}`),
    ...findings.map((finding) => `✗ ${finding.kind}: ${where(finding)}: ${finding.detail}`),
    ...(more > 0 ? [`✗ and ${more} more`] : []),
    `${checkpoints} checkpoints; ${findings.length === 0 ? none : 'the log is not what it was'}`,
  ].join('\n')
}

/** Prints what was found; the exit code is 2 when the log is not what it was. */
export async function verify(around: Surroundings, { key, expect, topic = [] }: VerifyCommandOptions): Promise<void> {
  const trusted = await readKeys(key)
  const expected = expect === undefined ? [] : readExpected(await readText(expect))
  const report = await withLog(around, async (log, names) => {
    const kinds = topic.map((named) => {
      const kind = topicKinds.find((known) => known === named)
      if (!kind) throw new Failure(`--topic: “${named}” is none of messages, lifecycle, sessions, inbox`)
      return names[kind]
    })
    return verifyLog({
      log,
      topic: names.audit,
      trusted,
      expected,
      ...(kinds.length > 0 ? { topics: new Set(kinds) } : {}),
      now: Date.now(),
      clock: Date.now,
      onProgress: progressTo(around),
    })
  })
  if (around.format === 'table') around.print(reportText(report))
  else around.show(report)
  if (!report.ok) process.exitCode = 2
}

const progressMs = 1_000

/** A line a second at most. */
function progressTo({
  note,
}: Surroundings): (progress: { readonly partition: number; readonly partitions: number; readonly checkpoints: number; readonly records: number }) => void {
  let toldAt = Date.now()
  return ({ partition, partitions, checkpoints, records }) => {
    if (Date.now() - toldAt < progressMs) return
    toldAt = Date.now()
    note(`partition ${partition + 1} of ${partitions}: ${checkpoints} checkpoints, ${records} records`)
  }
}

/** Prints the last checkpoint of each shard; with keys the last that is believed. */
export async function head(around: Surroundings, keys?: readonly string[]): Promise<void> {
  const believed = keys && (await readKeys(keys))
  await withLog(around, async (log, { audit }) => {
    for (let shard = 0; shard < (await log.partitions(audit)); shard++) {
      const found = await readLastCheckpoint(log, audit, shard, believed)
      if (!found) throw new Failure(`shard ${shard} has no checkpoint`)
      if (believed && !found.isBelieved) throw new Failure(`shard ${shard} has no checkpoint that a key of --key, or one that it names, has signed`)
      const { statement, signature } = found.signed
      around.print(JSON.stringify({ statement: statement.toString(), signature: signature.toString('base64') }))
    }
  })
}
