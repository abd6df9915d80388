/** What an AUTH packet means where it comes (section 4.12), as decisions without a socket. */
import type { AuthPacket } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { ended } from './disconnection.ts'
import type { Client, End } from './protocol.ts'

/** What the client may send: its part of an exchange under way, the start of one on its open connection, or no AUTH at all for now. */
export type ExpectedAuth = 'continue' | 'reauthenticate' | 'nothing'

export type ReceivedAuth = { readonly do: 'take'; readonly data: Buffer | undefined } | End

const protocolError = (detail: string): End => ({ do: 'end', ending: ended(ReasonCode.ProtocolError, detail) })

/** `method` is the one of the CONNECT; undefined when that had none. */
export function receiveAuth({ reasonCode, properties }: AuthPacket, method: string | undefined, expected: ExpectedAuth): ReceivedAuth {
  if (method === undefined) return protocolError('AUTH after a CONNECT without an authentication method') // [MQTT-4.12.0-7]
  if (properties.authenticationMethod !== method) return protocolError('AUTH with another authentication method than CONNECT’s') // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
  if (expected === 'nothing') return protocolError('AUTH while the one before is being looked at')
  const wanted = expected === 'continue' ? ReasonCode.ContinueAuthentication : ReasonCode.ReAuthenticate // [MQTT-4.12.0-3], [MQTT-4.12.1-1]
  if (reasonCode !== wanted) return protocolError(`AUTH with reason code 0x${reasonCode.toString(16)} where 0x${wanted.toString(16)} has its place`)
  return { do: 'take', data: properties.authenticationData }
}

/** The client is to say in an AUTH what its method wants to know [MQTT-4.12.0-2], [MQTT-4.12.0-5]. */
export function askForData({ authenticationMethod }: Client): AuthPacket {
  if (authenticationMethod === undefined) throw new TypeError('only who names a method is asked') // [MQTT-4.12.0-6]
  return { type: 'auth', reasonCode: ReasonCode.ContinueAuthentication, properties: { authenticationMethod } }
}
