import type { UserProperties } from '../mqtt/packet.ts'
import type { Limits } from './config.ts'

/** What a message, published or a will's, carries besides topic and payload. */
interface MessageProperties {
  readonly userProperties?: UserProperties
  readonly responseTopic?: string
  readonly correlationData?: Buffer
  readonly contentType?: string
}

/** A limit that a message is above. */
export interface MessageExcess {
  readonly limit: 'USER_PROPERTIES_BYTES_MAX' | 'RESPONSE_TOPIC_LENGTH_MAX' | 'CORRELATION_DATA_BYTES_MAX' | 'CONTENT_TYPE_LENGTH_MAX'
  /** For people: what is too large, and what is allowed. */
  readonly detail: string
}

/** A UTF-16 unit takes at most three bytes, so that most strings need no counting. */
const isLonger = (text: string, bytesMax: number): boolean => text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax

/** Names and values, bytes. */
function userPropertiesBytes(properties: UserProperties): number {
  let bytes = 0
  for (const [name, value] of properties) bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  return bytes
}

/** The first limit that a message's properties are above; null when none. */
export function messageExcess({ userProperties, responseTopic, correlationData, contentType }: MessageProperties, limits: Limits): MessageExcess | null {
  const { USER_PROPERTIES_BYTES_MAX, RESPONSE_TOPIC_LENGTH_MAX, CORRELATION_DATA_BYTES_MAX, CONTENT_TYPE_LENGTH_MAX } = limits
  if (userProperties && userPropertiesBytes(userProperties) > USER_PROPERTIES_BYTES_MAX)
    return { limit: 'USER_PROPERTIES_BYTES_MAX', detail: `user properties of more than ${USER_PROPERTIES_BYTES_MAX} bytes` }
  if (responseTopic !== undefined && isLonger(responseTopic, RESPONSE_TOPIC_LENGTH_MAX))
    return { limit: 'RESPONSE_TOPIC_LENGTH_MAX', detail: `a response topic of more than ${RESPONSE_TOPIC_LENGTH_MAX} bytes` }
  if (correlationData && correlationData.length > CORRELATION_DATA_BYTES_MAX)
    return { limit: 'CORRELATION_DATA_BYTES_MAX', detail: `correlation data of more than ${CORRELATION_DATA_BYTES_MAX} bytes` }
  if (contentType !== undefined && isLonger(contentType, CONTENT_TYPE_LENGTH_MAX))
    return { limit: 'CONTENT_TYPE_LENGTH_MAX', detail: `a content type of more than ${CONTENT_TYPE_LENGTH_MAX} bytes` }
  return null
}
