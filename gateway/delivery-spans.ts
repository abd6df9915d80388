import type { Receiver } from '../proto/frames.ts'
import type { OpenSpan, TracedDelivery } from '../telemetry/tracing.ts'

/** The spans of what one client is sent, from the router's frame to the client's acknowledgement. As many as its window. */
export class DeliverySpans {
  readonly #clientId: string
  /** By packet id. */
  readonly #open = new Map<number, OpenSpan>()

  constructor(clientId: string) {
    this.#clientId = clientId
  }

  /** A message goes out; at QoS 0 with that it is delivered. */
  sent(trace: TracedDelivery, { qos, dup }: Receiver, packetId: number): void {
    const span = trace.begin({
      'messaging.system': 'mqtt',
      'messaging.operation.name': 'deliver',
      'messaging.client.id': this.#clientId,
      'mqtt.qos': qos,
      'mqtt.dup': dup,
    })
    if (packetId === 0) span.end()
    else {
      this.#open.get(packetId)?.end('its packet id serves another message')
      this.#open.set(packetId, span)
    }
  }

  acknowledged(packetId: number): void {
    this.#open.get(packetId)?.end()
    this.#open.delete(packetId)
  }

  close(): void {
    for (const span of this.#open.values()) span.end('the connection ended before the acknowledgement')
    this.#open.clear()
  }
}
