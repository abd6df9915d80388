/**
 * Digests of folded state: same records, same state, same digest, whichever process folded them and in which order it holds what it holds.
 * They find mistakes, not forgers: the hashes of all parts are combined by exclusive or.
 */
import { createHash } from 'node:crypto'
import { encodeRecord } from '../schemas/codec.ts'
import type { RetainedNote } from '../schemas/inbox-records.ts'
import type { SessionState } from '../schemas/snapshot-records.ts'
import { resourceKinds } from './registry-resources.ts'
import type { RegistryView } from './registry-view.ts'
import type { SessionFold } from './session-fold.ts'
import { sessionState } from './snapshot.ts'

const size = 32

class Digest {
  readonly #sum = Buffer.alloc(size)

  add(part: string | Buffer): void {
    const hash = createHash('sha256').update(part).digest()
    for (let at = 0; at < size; at++) this.#sum[at] = (this.#sum[at] as number) ^ (hash[at] as number)
  }

  get hex(): string {
    return this.#sum.toString('hex')
  }
}

const byFilter = (a: { readonly filter: string }, b: { readonly filter: string }): number => (a.filter < b.filter ? -1 : a.filter > b.filter ? 1 : 0)

/** Without its queue. */
function withoutQueue(state: SessionState): SessionState {
  return { ...state, subscriptions: [...state.subscriptions].sort(byFilter), next: 0, cursor: 0, above: [], sent: 0, queue: [], received: [], replays: [] }
}

/** Queue entries that are hashed as one. */
const entriesPerPart = 1_000

/**
 * Of the sessions, their connections, subscriptions and wills; and of what they are owed, how far their clients and replays are with it: without what
 * may have been sent (`sent`), which an owner tells with the next acknowledgement, and which decides about DUP alone.
 */
export function sessionDigests({ sessions }: Pick<SessionFold, 'sessions'>): { readonly sessions: string; readonly queues: string } {
  const [digest, queues] = [new Digest(), new Digest()]
  for (const session of sessions.values()) {
    const state = sessionState(session)
    digest.add(encodeRecord('SessionState', withoutQueue(state)))
    const { clientId, next, queue, received, replays } = state
    // What is in the queue still is what is not done of the numbers below `next`.
    queues.add(JSON.stringify([clientId, next, queue.length, received, [...replays].sort((a, b) => a.replay - b.replay)]))
    for (let from = 0; from < queue.length; from += entriesPerPart) queues.add(JSON.stringify([clientId, queue.slice(from, from + entriesPerPart)]))
  }
  return { sessions: digest.hex, queues: queues.hex }
}

/** Of what is retained. */
export function retainedDigest(notes: Iterable<RetainedNote>): string {
  const digest = new Digest()
  for (const { topic, offset, receivedAt, expiresAt, qos, size } of notes) digest.add(JSON.stringify([topic, offset, receivedAt, expiresAt, qos, size]))
  return digest.hex
}

/** Resources hashed between two turns of the event loop. */
const resourcesPerTurn = 1_000
/** A registry that changes all the time is tried so often. */
const triesMax = 5

/** Of the registry where it stands; undefined when it changed all the time. Others have their turns meanwhile. */
export async function registryDigest(view: RegistryView): Promise<{ readonly position: number; readonly digest: string } | undefined> {
  for (let attempt = 0; attempt < triesMax; attempt++) {
    const { position } = view
    const digest = await digestAt(view, position)
    if (digest !== undefined) return { position, digest }
  }
  return undefined
}

async function digestAt(view: RegistryView, position: number): Promise<string | undefined> {
  const digest = new Digest()
  let count = 0
  for (const kind of resourceKinds) {
    for (const { name, properties, etag, offset } of view.of(kind).values()) {
      digest.add(JSON.stringify([kind, name, etag, offset, properties]))
      if (++count % resourcesPerTurn > 0) continue
      await new Promise((resolve) => setImmediate(resolve))
      if (view.position !== position) return undefined
    }
  }
  return digest.hex
}
