import type { Message } from '../../../schemas/message.ts'
import { loggedMessage } from '../../support/logged-message.ts'

/** A message of MQTT 5 without properties. */
export const message = (more: Partial<Message> = {}): Message =>
  loggedMessage({
    messageId: Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'),
    clientId: 'sensor-1',
    session: 7,
    receivedAt: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    topic: 'plant/line1/temperature',
    authenticationName: 'sensor-1.example.com',
    gateway: 'gateway',
    payload: Buffer.from('{"celsius":21.5}'),
    ...more,
  })
