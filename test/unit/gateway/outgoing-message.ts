/** Messages on their way out, made as routers bring them: of their records. */
import { type Origin, Outgoing, plainOrigin } from '../../../gateway/outgoing.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import type { Message } from '../../../schemas/records.ts'

export const loggedMessage = (rest: Partial<Message> = {}): Message => ({
  messageId: Buffer.alloc(16),
  clientId: 'p',
  session: 0,
  receivedAt: 1000,
  topic: 't',
  qos: 1,
  retain: false,
  messageExpiryInterval: null,
  authenticationName: 'p',
  gateway: 'g',
  protocolVersion: 5,
  payloadFormatIndicator: null,
  contentType: null,
  responseTopic: null,
  correlationData: null,
  userProperties: [],
  payload: Buffer.from('payload'),
  ...rest,
})

export const outgoing = (rest: Partial<Message> = {}, origin: Partial<Origin> = {}): Outgoing =>
  new Outgoing(Buffer.from(encodeMessage(loggedMessage(rest))), { ...plainOrigin(-1, 0), ...origin })
