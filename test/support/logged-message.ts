import type { Message } from '../../schemas/message.ts'

/** A message as a gateway writes it, for tests that care about some of its fields. */
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
