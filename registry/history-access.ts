/** Through whose eyes the past is read: what a client may subscribe to now, or could when it came. */
import { AccessThen } from '../access/access-then.ts'
import { compileRules } from '../access/decide.ts'
import { principalOfSession } from '../access/principal.ts'
import { BeforeHistory } from '../history/before-history.ts'
import type { Found } from '../history/history-reader.ts'
import type { fixed } from '../history/replay-range.ts'
import type { Log } from '../log/log.ts'
import { keptOf } from '../model/history-kept.ts'
import type { RegistryView } from '../model/registry-view.ts'

export const accessMoments = ['now', 'then'] as const
export type AccessMoment = (typeof accessMoments)[number]

export interface Eyes {
  /** Those of the messages that are for these eyes. */
  seen(found: readonly Found[]): Promise<readonly Found[]>
  /** What came before was left out, because who could read it is not known, milliseconds since the epoch; undefined when nothing was. */
  readonly since: number | undefined
}

/** An operator's own. */
export const openEyes: Eyes = { seen: async (found) => found, since: undefined }

/** Those of whom the registry knows by this authentication name, or of somebody who only says it. */
export function eyesNow(view: RegistryView, authenticationName: string): Eyes {
  const rules = compileRules(view)
  const principal = principalOfSession(view, { authenticationName })
  return { seen: async (found) => found.filter(({ topic }) => principal && rules.maySubscribe(principal, topic).allowed), since: undefined }
}

/** The same as of when each message came. Rejects with BeforeHistory when that is not known of `from`, which is a time. */
export async function eyesThen(options: {
  readonly log: Log
  /** The topic `registry`. */
  readonly topic: string
  readonly view: RegistryView
  readonly authenticationName: string
  readonly from: ReturnType<typeof fixed>
}): Promise<Eyes> {
  const { log, topic, view, authenticationName, from } = options
  const kept = () => keptOf(view)
  const access = new AccessThen({ log, topic, identity: { authenticationName }, kept, now: Date.now })
  const isNeverKnown = access.since === Number.POSITIVE_INFINITY
  if (isNeverKnown || (from.kind === 'time' && from.at < access.since)) throw new BeforeHistory(isNeverKnown ? null : access.since)
  await access.fold()
  let since: number | undefined
  return {
    async seen(found) {
      if (found.some(({ record }) => !access.reaches(record.timestamp))) await access.fold()
      if (found.some(({ record }) => record.timestamp < access.since)) since = access.since
      return found.filter(({ topic, record }) => access.allows(topic, record.timestamp))
    },
    get since() {
      return since
    },
  }
}
