/** The end marker of a replay: a message that no client has published, made of the record that says the replay is at its end. */
import { positionsText } from '../history/replay-range.ts'
import type { Replayed } from '../schemas/inbox-records.ts'
import { encodeMessage } from '../schemas/message-record.ts'

/** Nobody publishes there. */
const markerTopic = '$replay/end'

export function markerOf({ filter, phase, positions, messages, at, qos, shard, replay, since }: Replayed): Buffer {
  const told = {
    filter,
    messages,
    /** Where another replay would go on. */
    positions: positionsText(positions.map(({ source, next }) => [source, next])),
    live: phase === 'live',
    /** Of what was published before, something is gone. */
    ...(since === null ? {} : { since: new Date(since).toISOString() }),
  }
  const value = encodeMessage({
    messageId: Buffer.alloc(16),
    clientId: '',
    session: replay,
    receivedAt: at,
    topic: markerTopic,
    qos,
    retain: false,
    messageExpiryInterval: null,
    authenticationName: '',
    gateway: `router of shard ${shard}`,
    protocolVersion: 5,
    payloadFormatIndicator: 1,
    contentType: 'application/json',
    responseTopic: null,
    correlationData: null,
    userProperties: [],
    payload: Buffer.from(JSON.stringify(told)),
  })
  return Buffer.from(value)
}
