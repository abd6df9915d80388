/** A message of the past as one line of JSON, for who asks over HTTP; with what the log knows of its origin. */

import type { Loss } from '../model/client-keys.ts'
import type { Message } from '../schemas/message.ts'
import { decodeMessage } from '../schemas/message-record.ts'
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

function originOf({ clientId, authenticationName, gateway }: Message) {
  return { clientId, authenticationName, gateway }
}

function propertiesOf(message: Message) {
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

/** Of a message without payload, since nobody can read it any more. */
export interface ErasedMark {
  /** Its publisher was erased, or it is unreadable. */
  readonly erased?: true
  /** It is damaged, or the record of the key that it is sealed with. */
  readonly unreadable?: true
}

export const erasedMark = (loss: Loss): ErasedMark => (loss === 'unreadable' ? { erased: true, unreadable: true } : { erased: true })

/** A line as a reader of it has it: what a message does not have is not there. */
export interface HistoryLine extends ErasedMark {
  /** `partition:offset`. */
  readonly position: string
  /** 32 hexadecimal digits: the same in every repeated append of one publish. */
  readonly messageId: string
  /** ISO 8601, in UTC. */
  readonly receivedAt: string
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly clientId: string
  readonly authenticationName: string
  readonly gateway: string
  readonly protocolVersion: number
  /** Seconds, as published. */
  readonly messageExpiryInterval?: number
  readonly payloadFormatIndicator?: number
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationDataBase64?: string
  readonly userProperties?: Message['userProperties']
  readonly payload?: string
  /** Of a payload that is no UTF-8. */
  readonly payloadBase64?: string
  readonly cursor: string
}

/** The payload as it was published. */
export const payloadOfLine = ({ payload, payloadBase64 }: HistoryLine): Buffer =>
  payloadBase64 === undefined ? Buffer.from(payload ?? '') : Buffer.from(payloadBase64, 'base64')

/** The message that a line tells of; of which of its publisher's sessions it came it does not tell. */
export function messageOfLine(line: HistoryLine): Message {
  return {
    messageId: Buffer.from(line.messageId, 'hex'),
    clientId: line.clientId,
    session: 0,
    receivedAt: Date.parse(line.receivedAt),
    topic: line.topic,
    qos: line.qos,
    retain: line.retain,
    messageExpiryInterval: line.messageExpiryInterval ?? null,
    authenticationName: line.authenticationName,
    gateway: line.gateway,
    protocolVersion: line.protocolVersion,
    payloadFormatIndicator: line.payloadFormatIndicator ?? null,
    contentType: line.contentType ?? null,
    responseTopic: line.responseTopic ?? null,
    correlationData: line.correlationDataBase64 === undefined ? null : Buffer.from(line.correlationDataBase64, 'base64'),
    userProperties: line.userProperties ?? [],
    payload: payloadOfLine(line),
  }
}

/** What is told of a message that nobody can read any more: that there was one. */
export const erasedMessage = (value: Buffer): Message => ({ ...decodeMessage(value), payload: Buffer.alloc(0), userProperties: [], correlationData: null })

/** `cursor`: where to go on behind this message. `message`: as it was published, where that is not what stands in the record. */
export function historyLine({ source, record }: Found, cursor: string, message = decodeMessage(record.value)): HistoryLine {
  return {
    position: `${source}:${record.offset}`,
    messageId: message.messageId.toString('hex'),
    receivedAt: new Date(message.receivedAt).toISOString(),
    topic: message.topic,
    qos: message.qos as 0 | 1 | 2,
    retain: message.retain,
    ...originOf(message),
    protocolVersion: message.protocolVersion,
    ...propertiesOf(message),
    ...payloadOf(message.payload),
    cursor,
  }
}

/** The same as a CloudEvent 1.0 in its JSON form. Its id is the position: one publish that stands twice in the log is told once. */
export function historyEvent({ source, record }: Found, cursor: string, namespace: string, message = decodeMessage(record.value)): object {
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
