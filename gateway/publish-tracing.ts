import type { Appended } from '../log/log.ts'
import type { PublishPacket, UserProperties } from '../mqtt/packet.ts'
import type { Accepted } from '../schemas/message-record.ts'
import type { OpenSpan, Tracing } from '../telemetry/tracing.ts'

const none: UserProperties = []

/** The span of a PUBLISH; null when it is not traced. */
export function tracePublish(tracing: Tracing, accepted: Accepted, topic: string, packet: PublishPacket): OpenSpan | null {
  const properties = packet.properties?.userProperties ?? none
  if (properties.length > 0) tracing.look(properties)
  if (!tracing.isChosen(accepted)) return null
  return tracing.publish(accepted, properties, {
    'messaging.system': 'mqtt',
    'messaging.operation.name': 'publish',
    'messaging.destination.name': topic,
    'messaging.client.id': accepted.clientId,
    'messaging.message.id': accepted.messageId.toString('hex'),
    'messaging.message.body.size': packet.payload.length,
    'mqtt.qos': packet.qos,
  })
}

/** Ends the span when the log has answered and the acknowledgement is on its way. */
export function untilAnswered(span: OpenSpan, done: Appended): Appended {
  return (error, offset) => {
    if (!error) span.event('appended')
    done(error, offset)
    span.end(error?.message)
  }
}
