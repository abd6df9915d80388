/** What a request of pull delivery asks for (spec 1.16), and what it is answered: pure. */
import { jsonEvent } from '../../events/cloud-event.ts'
import type { ReceivedEvent, SettledTokens } from './subscription.ts'

const pullActions = ['receive', 'acknowledge', 'release', 'reject', 'renewLock'] as const
export type PullAction = (typeof pullActions)[number]

/** The subscription and what is to be done there. */
export interface PullTarget {
  readonly topic: string
  readonly subscription: string
  readonly action: PullAction
}

/** The request is wrong: the parameter or field, and what is allowed. */
export class PullProblem extends Error {
  readonly status: number
  readonly field: string | undefined
  constructor(status: number, message: string, field?: string) {
    super(message)
    this.name = 'PullProblem'
    this.status = status
    this.field = field
  }
}

const targetPattern = /^\/topics\/([^/]+)\/eventsubscriptions\/([^/:]+):([A-Za-z]+)$/i

/** True for every path that pull delivery answers. */
export const isPullPath = (path: string): boolean => /^\/topics\/[^/]+\/eventsubscriptions(?:\/|$)/i.test(path)

/** Throws PullProblem. As Azure does, case is not looked at in the fixed parts of paths. */
export function readTarget(path: string): PullTarget {
  const target = findTarget(path)
  if (!target) throw new PullProblem(404, `there is nothing here; the actions of an event subscription are :${pullActions.join(', :')}`)
  return target
}

/** Undefined where there is nothing. */
export function findTarget(path: string): PullTarget | undefined {
  const [, topic, subscription, named] = targetPattern.exec(path) ?? []
  const action = pullActions.find((each) => each.toLowerCase() === named?.toLowerCase())
  if (topic === undefined || subscription === undefined || action === undefined) return undefined
  return { topic: decode(topic), subscription: decode(subscription), action }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const eventsMax = 100
const waitSeconds = { least: 10, most: 120, default: 60 }
const releaseDelays = [0, 10, 60, 600, 3600]
const lockTokensMax = 1_000

function wholeNumber(query: URLSearchParams, name: string, least: number, most: number, whenAbsent: number): number {
  const text = query.get(name)
  if (text === null) return whenAbsent
  const value = Number(text)
  if (!/^\d{1,6}$/.test(text) || value < least || value > most) throw new PullProblem(400, `${name}: a whole number from ${least} to ${most}`, name)
  return value
}

export function readReceive(query: URLSearchParams): { readonly eventsMax: number; readonly waitMs: number } {
  return {
    eventsMax: wholeNumber(query, 'maxEvents', 1, eventsMax, 1),
    waitMs: wholeNumber(query, 'maxWaitTime', waitSeconds.least, waitSeconds.most, waitSeconds.default) * 1000,
  }
}

export function readReleaseDelay(query: URLSearchParams): number {
  const text = query.get('releaseDelayInSeconds') ?? '0'
  const delay = releaseDelays.find((each) => String(each) === text)
  if (delay === undefined) throw new PullProblem(400, `releaseDelayInSeconds: one of ${releaseDelays.join(', ')}`, 'releaseDelayInSeconds')
  return delay * 1000
}

export function readLockTokens(body: Buffer): readonly string[] {
  let json: unknown
  try {
    json = JSON.parse(body.toString())
  } catch {
    throw new PullProblem(400, 'the body must be JSON: {"lockTokens": ["…"]}')
  }
  const { lockTokens } = Object(json) as { readonly lockTokens?: unknown }
  if (!Array.isArray(lockTokens) || lockTokens.length === 0 || !lockTokens.every((token) => typeof token === 'string')) {
    throw new PullProblem(400, 'lockTokens: a list of one or more lock tokens', 'lockTokens')
  }
  if (lockTokens.length > lockTokensMax) throw new PullProblem(400, `lockTokens: at most ${lockTokensMax}, these are ${lockTokens.length}`, 'lockTokens')
  return lockTokens
}

const open = Buffer.from('{"value":[')
const close = Buffer.from(']}')

/** Data stays as it was written. */
export function receiveAnswer(received: readonly ReceivedEvent[]): Buffer {
  const parts = received.flatMap(({ lockToken, deliveryCount, event }, index) => [
    Buffer.from(`${index === 0 ? '' : ','}{"brokerProperties":${JSON.stringify({ lockToken, deliveryCount })},"event":`),
    jsonEvent(event),
    Buffer.from('}'),
  ])
  return Buffer.concat([open, ...parts, close])
}

/** In the current SDK's shape. */
export function settledAnswer({ succeeded, failed }: SettledTokens): Buffer {
  return Buffer.from(
    JSON.stringify({
      failedLockTokens: failed.map(({ lockToken, code, message }) => ({ lockToken, error: { code, message } })),
      succeededLockTokens: succeeded,
    }),
  )
}
