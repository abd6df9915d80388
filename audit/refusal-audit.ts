/** Writes refusals into the topic `lifecycle`, where the other events of clients and of the registry are. */
import type { Append, Appended } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { encodeRecord } from '../schemas/codec.ts'
import { type Refusal, Refusals, type Told, withoutSecrets } from './refusals.ts'

export interface RefusalAuditOptions {
  readonly namespace: string
  readonly topic: string
  readonly partitions: number
  /** Unique to this run of the process. */
  idOf(count: number): string
  /** The process that refuses, as it stands in the events. */
  readonly by: { readonly gateway: string } | { readonly router: string }
  now(): number
  refusalsMax(): number
  /** Refusals are not worth what clients wait for: nothing is written while the log is full. */
  isLogFull(): boolean
  append(record: Append, done: Appended): void
  readonly metrics: { reached(limit: 'REFUSALS_TOLD_MAX'): void; audited(outcome: 'written' | 'lost'): void }
}

/** Characters of a topic, a name or a reason that are written. */
const textMax = 1024

export class RefusalAudit {
  readonly #options: RefusalAuditOptions
  readonly #refusals: Refusals
  #count = 0

  constructor(options: RefusalAuditOptions) {
    this.#options = options
    this.#refusals = new Refusals(options.refusalsMax, () => options.metrics.reached('REFUSALS_TOLD_MAX'))
  }

  refused(refusal: Refusal): void {
    const told = this.#refusals.refused(refusal, this.#options.now())
    if (told) this.#write(told)
  }

  /** Every now and then: writes what was counted. */
  tick(): void {
    for (const told of this.#refusals.due(this.#options.now())) this.#write(told)
  }

  /** Writes what was counted so far. */
  close(): void {
    for (const told of this.#refusals.due(Number.POSITIVE_INFINITY)) this.#write(told)
  }

  #write({ refusal, at, more }: Told): void {
    const { namespace, topic, partitions, idOf, by, isLogFull, append, metrics } = this.#options
    if (isLogFull()) {
      metrics.audited('lost')
      return
    }
    const { kind, reasonCode, remoteAddress, transport } = refusal
    const name = shown(refusal.authenticationName)
    const clientId = shown(refusal.clientId)
    const value = encodeRecord('LifecycleEvent', {
      id: idOf(++this.#count),
      type: `Loggerhead.${kind}`,
      source: `/namespaces/${namespace}`,
      subject: `clients/${name}/sessions/${clientId}`,
      time: at,
      data: JSON.stringify({
        namespaceName: namespace,
        clientAuthenticationName: name,
        clientSessionName: clientId,
        remoteAddress,
        transport,
        ...by,
        ...(refusal.topic !== undefined && { topic: shown(refusal.topic) }),
        reasonCode,
        why: shown(refusal.why),
        more,
      }),
    })
    const key = Buffer.from(name)
    append({ topic, partition: partitionOf(key, partitions), key, value, timestamp: at }, (error) => metrics.audited(error ? 'lost' : 'written'))
  }
}

const shown = (text: string): string => withoutSecrets(text.length > textMax ? text.slice(0, textMax) : text)
