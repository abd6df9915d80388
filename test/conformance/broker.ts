import { startStack } from '../support/stack.ts'
import type { Endpoint } from '../wire/wire.ts'

/** What the suite runs against. */
export interface Broker {
  readonly endpoint: Endpoint
  /** MQTT over WebSocket, below /mqtt; null when it is somebody else's broker. */
  readonly webSocketPort: number | null
  /** Has something published on a topic that begins with $, if it can; a client of this suite may not be allowed to. */
  stirDollarTopics(): Promise<void>
  stop(): Promise<void>
}

/** A stack of our own, or the broker named by CONFORMANCE_BROKER (host:port), which may be anybody's. */
export async function startBroker(): Promise<Broker> {
  const foreign = process.env.CONFORMANCE_BROKER
  if (foreign) {
    const [host = '127.0.0.1', port = '1883'] = foreign.split(':')
    return { endpoint: { host, port: Number(port) }, webSocketPort: null, stirDollarTopics: async () => {}, stop: async () => {} }
  }
  const stack = await startStack({ environment: { RESPONSE_INFORMATION: 'answers/{clientId}' } })
  return {
    endpoint: { host: '127.0.0.1', port: stack.ports.mqtt },
    webSocketPort: stack.ports.ws,
    stirDollarTopics: () => stack.untilHealthy(), // a message on each $loggerhead/canary/… goes round for that
    stop: async () => void (await stack.stop()),
  }
}
