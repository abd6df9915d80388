/** A message of the past as one line of JSON, for who asks over HTTP; with what the log knows of its origin. */
import { decodeMessage } from '../schemas/message-record.ts'
import type { Message } from '../schemas/records.ts'
import type { Found } from './history-reader.ts'

export const historyFormats = ['json', 'cloudevents'] as const
export type HistoryFormat = (typeof historyFormats)[number]

/** Payloads are text when they are UTF-8, as MQTT's Payload Format Indicator means it. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function payloadOf(payload: Buffer): { readonly payload: string } | { readonly payloadBase64: string } {
  try {
    return { payload: utf8.decode(payload) }
  } catch {
    return { payloadBase64: payload.toString('base64') }
  }
}

function originOf({ clientId, authenticationName, gateway }: Message): object {
  return { clientId, authenticationName, gateway }
}

function propertiesOf(message: Message): object {
  const { messageExpiryInterval, payloadFormatIndicator, contentType, responseTopic, correlationData, userProperties } = message
  return {
    ...(messageExpiryInterval === null ? {} : { messageExpiryInterval }),
    ...(payloadFormatIndicator === null ? {} : { payloadFormatIndicator }),
    ...(contentType === null ? {} : { contentType }),
    ...(responseTopic === null ? {} : { responseTopic }),
    ...(correlationData === null ? {} : { correlationDataBase64: correlationData.toString('base64') }),
    ...(userProperties.length === 0 ? {} : { userProperties }),
  }
}

/** `cursor`: where to go on behind this message. */
export function historyLine({ source, record }: Found, cursor: string): object {
  const message = decodeMessage(record.value)
  return {
    position: `${source}:${record.offset}`,
    receivedAt: new Date(message.receivedAt).toISOString(),
    topic: message.topic,
    qos: message.qos,
    retain: message.retain,
    ...originOf(message),
    protocolVersion: message.protocolVersion,
    ...propertiesOf(message),
    ...payloadOf(message.payload),
    cursor,
  }
}

/** The same as a CloudEvent 1.0 in its JSON form. Its id is the position: one publish that stands twice in the log is told once. */
export function historyEvent({ source, record }: Found, cursor: string, namespace: string): object {
  const message = decodeMessage(record.value)
  const payload = payloadOf(message.payload)
  return {
    specversion: '1.0',
    id: `${source}:${record.offset}`,
    source: `/namespaces/${namespace}`,
    type: 'MQTT.EventPublished',
    subject: message.topic,
    time: new Date(message.receivedAt).toISOString(),
    ...(message.contentType === null ? {} : { datacontenttype: message.contentType }),
    ...('payload' in payload ? { data: payload.payload } : { data_base64: payload.payloadBase64 }),
    clientid: message.clientId,
    authenticationname: message.authenticationName,
    gateway: message.gateway,
    cursor,
  }
}
