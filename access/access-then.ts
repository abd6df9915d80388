/**
 * What somebody could subscribe to at moments of the past: the registry's changes, folded once as every process folds them, and on as they come.
 * Of the registry it holds what rules are made of and the one client's own resource; of each change what this client may subscribe to
 * since, where that is something else. Its topic keeps every change of the history window (model/history-kept.ts): what was before nobody can say.
 */
import type { Log } from '../log/log.ts'
import { type HistoryKept, keptSince } from '../model/history-kept.ts'
import { readRegistryRecord } from '../model/registry-follower.ts'
import { readProperties } from '../model/registry-resources.ts'
import { foldName, type RegistryRecord, RegistryView, splitKey } from '../model/registry-view.ts'
import { compileRules, type SubscriberRights } from './decide.ts'
import { principalOfSession, type SessionIdentity } from './principal.ts'

export interface AccessThenOptions {
  readonly log: Log
  /** The one-partition topic `registry`. */
  readonly topic: string
  /** As it is now: what came with a credential is not in the registry. */
  readonly identity: SessionIdentity
  /** How far back the topic holds every change; undefined: it does not. */
  kept(): HistoryKept | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** What was allowed, from a moment on. */
interface Version {
  /** Messages that came after this are judged by it, milliseconds since the epoch. */
  readonly from: number
  /** Undefined: it was nobody, and nothing is allowed. */
  readonly rights: SubscriberRights | undefined
}

/** Changes of one client's rights that are told apart; with more, what was before the oldest of them counts as not known. */
export const versionsMax = 1_000
/** Topic filters that all of them may have together: with more likewise, but for the newest one. */
export const filtersMax = 20_000
/** One fetch, bytes: some 200 records, after which others have their turn. */
const readBytes = 64 * 1024

const ruleKinds: ReadonlySet<string> = new Set(['clientGroups', 'topicSpaces', 'permissionBindings', 'namespace'])

/** From when on access as of then can be judged, milliseconds since the epoch; null when no history of it is kept. */
export function accessKnownSince(kept: HistoryKept | undefined, now: number): number | null {
  return kept === undefined ? null : keptSince(kept, now)
}

export class AccessThen {
  readonly #options: AccessThenOptions
  readonly #view = new RegistryView()
  /** Resources that are, or were, of the client's name. */
  readonly #own = new Set<string>()
  readonly #versions: Version[] = []
  /** Of all versions. */
  #filters = 0
  #since: number
  #next = 0
  /** Of the newest record: writers' clocks may step back. */
  #at = Number.NEGATIVE_INFINITY
  #hasChanged = true
  /** Everything that was in the topic then is folded, milliseconds since the epoch. */
  #foldedAt = Number.NEGATIVE_INFINITY

  constructor(options: AccessThenOptions) {
    this.#options = options
    this.#since = this.#knownSince()
  }

  /** Messages that came before are not judged: whether they were allowed is not known. Milliseconds since the epoch; Infinity: none is. */
  get since(): number {
    return this.#since
  }

  /** Whether a message that came at that time, milliseconds since the epoch, can be judged by what is folded. */
  reaches(at: number): boolean {
    return at < this.#foldedAt
  }

  /** Folds what is in the topic by now. Rejects with what reading rejects with, and can be called again then. */
  async fold(): Promise<void> {
    const { log, topic, now } = this.#options
    this.#next = Math.max(this.#next, (await log.startOffsets(topic)).get(0) ?? 0)
    for (;;) {
      const asked = now()
      const stretch = await log.read(topic, 0, this.#next, readBytes)
      for (const record of stretch.records) {
        if (record.offset < this.#next) continue
        this.#next = record.offset + 1
        const isLater = record.timestamp > this.#at
        if (isLater && this.#hasChanged && record.timestamp >= this.#since) {
          this.#compile()
          // Of a large registry that takes long: others have their turn after each.
          await new Promise(setImmediate)
        }
        this.#at = Math.max(this.#at, record.timestamp)
        this.#take(readRegistryRecord(record))
      }
      const isStuck = stretch.nextOffset <= this.#next && stretch.records.length === 0
      this.#next = Math.max(this.#next, stretch.nextOffset)
      if (this.#next >= stretch.endOffset || isStuck) {
        if (this.#hasChanged) this.#compile()
        // What was compacted while it was read may be missing; what is folded stays known.
        if (this.#foldedAt === Number.NEGATIVE_INFINITY) this.#since = Math.max(this.#since, this.#knownSince())
        this.#foldedAt = asked
        return
      }
      await new Promise(setImmediate)
    }
  }

  /** Whether the topic could be subscribed to when a message came at that time; false for what was before `since`. */
  allows(topic: string, at: number): boolean {
    if (at < this.#since) return false
    return this.#versionAt(at)?.rights?.allows(topic) ?? false
  }

  /** The newest one that is older. */
  #versionAt(at: number): Version | undefined {
    let [low, high] = [0, this.#versions.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#versions[middle] as Version).from < at) low = middle + 1
      else high = middle
    }
    return this.#versions[low - 1]
  }

  #knownSince(): number {
    const { kept, now } = this.#options
    return accessKnownSince(kept(), now()) ?? Number.POSITIVE_INFINITY
  }

  #take(read: RegistryRecord): void {
    const { kind, name } = splitKey(read.key)
    if (!ruleKinds.has(kind) && !(kind === 'clients' && this.#isOwn(name, read))) return
    this.#view.apply(read)
    this.#hasChanged = true
  }

  #isOwn(name: string, { entry }: RegistryRecord): boolean {
    const authenticationName = entry && readProperties('clients', name, entry.properties)?.authenticationName
    if (authenticationName && foldName(authenticationName) === foldName(this.#options.identity.authenticationName)) this.#own.add(name)
    return this.#own.has(name)
  }

  /** What is allowed after the newest record. */
  #compile(): void {
    this.#hasChanged = false
    const principal = principalOfSession(this.#view, this.#options.identity)
    const rights = principal && compileRules(this.#view).rightsOfSubscriber(principal)
    const versions = this.#versions
    const last = versions.at(-1)
    if (last && last.rights?.key === rights?.key) return
    versions.push({ from: this.#at, rights })
    this.#filters += rights?.size ?? 0
    while (versions.length > versionsMax || (this.#filters > filtersMax && versions.length > 1)) {
      this.#filters -= versions.shift()?.rights?.size ?? 0
      this.#since = Math.max(this.#since, (versions[0]?.from ?? 0) + 1)
    }
  }
}
