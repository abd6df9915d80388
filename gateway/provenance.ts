/** Where a message stands in the log, told to its receivers as user properties of MQTT 5. They follow what its publisher has set. */
import type { UserProperties } from '../mqtt/packet.ts'

/** Of a message that was published before its receiver asked. */
export const replayMarks = (partition: number, offset: number, receivedAt: number): UserProperties => [
  ['replay-position', `${partition}:${offset}`],
  ['replay-received-at', new Date(receivedAt).toISOString()],
]
