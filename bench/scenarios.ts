/** One load that brokers are put under. */
export interface Scenario {
  readonly name: string
  readonly about: string
  /** In `npm run bench`; all others in `npm run bench:full` only. */
  readonly isQuick: boolean
  /** Options of bench/load.ts. */
  readonly load: Readonly<Record<string, string | number>>
  /** Seconds of publishing; shorter ones end by their number of messages. */
  readonly seconds?: number
  /** A Kafka client reads what is published, where there is a log. */
  readonly isConsumed?: boolean
  /** Peers that cannot take part, and why. */
  readonly without?: Readonly<Record<string, string>>
}

const pairs = { publishers: 50, subscribers: 50 }
const commands = { publishers: 4, subscribers: 1_000, mode: 'each', window: 25, messages: 100_000 }
const matching = { ...pairs, qos: 0, rate: 200 }
const noShared = { 'nats-server': 'it has no shared subscriptions', rabbitmq: 'it has no shared subscriptions' }

export const scenarios: readonly Scenario[] = [
  { name: 'pairs-1', about: '50 pairs, QoS 1, one in flight', isQuick: true, load: { ...pairs, window: 1 } },
  { name: 'pairs-20', about: '50 pairs, QoS 1, 20 in flight', isQuick: true, load: { ...pairs, window: 20 } },
  { name: 'telemetry', about: '200 publishers, QoS 1, no MQTT subscriber', isQuick: true, load: { publishers: 200, subscribers: 0 }, isConsumed: true },
  {
    name: 'fan-in',
    about: '200 publishers to one shared group of four',
    isQuick: false,
    load: { publishers: 200, subscribers: 4, mode: 'shared' },
    without: noShared,
  },
  {
    name: 'broadcast-0',
    about: 'one publisher to 1,000 subscribers, QoS 0, 40 a second',
    isQuick: true,
    load: { publishers: 1, subscribers: 1_000, mode: 'all', qos: 0, rate: 40 },
  },
  {
    name: 'broadcast-1',
    about: 'one publisher to 1,000 subscribers, QoS 1, 20 in flight',
    isQuick: true,
    load: { publishers: 1, subscribers: 1_000, mode: 'all', messages: 20_000 },
  },
  { name: 'commands-clean', about: '1,000 sessions addressed in turn, QoS 1, clean', isQuick: false, load: commands },
  { name: 'commands', about: '1,000 sessions addressed in turn, QoS 1, persistent', isQuick: false, load: { ...commands, persistent: 'true' } },
  {
    name: 'commands-herd',
    about: 'the same, half of them away until all is published',
    isQuick: false,
    load: { ...commands, persistent: 'true', offline: 0.5, rate: 1_000 },
    seconds: 5,
  },
  ...(['exact', 'wildcards'] as const).flatMap((kind) =>
    [1_000, 100_000].map((filters) => ({
      name: `matching-${kind}-${filters}`,
      about: `50 pairs, 10,000 a second, beside ${filters.toLocaleString('en-US')} subscriptions, ${kind === 'exact' ? 'all exact' : 'half with wildcards'}`,
      isQuick: false,
      load: { ...matching, filters, wildcards: kind === 'exact' ? 0 : 0.5 },
    })),
  ),
  {
    name: 'qos2',
    about: '50 pairs, QoS 2, 20 in flight',
    isQuick: false,
    load: { ...pairs, qos: 2 },
    without: { 'nats-server': 'this version speaks QoS 0 and 1', rabbitmq: 'it speaks QoS 0 and 1' },
  },
]
