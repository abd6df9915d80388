/** Where a message stands in the log, told to its receivers as user properties of MQTT 5. They follow what its publisher has set. */
import type { UserProperties } from '../mqtt/packet.ts'
import type { Message } from '../schemas/message.ts'

/** Of whoever asks for it at CONNECT: who sent the message when, and through which gateway. The partition is -1 where only what is retained is known. */
export const provenanceMarks = ({ clientId, authenticationName, receivedAt, gateway }: Message, partition: number, offset: number): UserProperties => [
  ...(partition < 0 ? [] : [['provenance-position', `${partition}:${offset}`] as const]),
  ['provenance-client-id', clientId],
  ['provenance-publisher', authenticationName],
  ['provenance-received-at', new Date(receivedAt).toISOString()],
  ['provenance-gateway', gateway],
]

/** Of a message that was published before its receiver asked. */
export const replayMarks = (partition: number, offset: number, receivedAt: number): UserProperties => [
  ['replay-position', `${partition}:${offset}`],
  ['replay-received-at', new Date(receivedAt).toISOString()],
]
