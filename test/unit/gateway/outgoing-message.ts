/** Messages on their way out, made as routers bring them: of their records. */
import { type Origin, Outgoing, plainOrigin } from '../../../gateway/outgoing.ts'
import type { Message } from '../../../schemas/message.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'

export const outgoing = (rest: Partial<Message> = {}, origin: Partial<Origin> = {}): Outgoing =>
  new Outgoing(Buffer.from(encodeMessage(loggedMessage(rest))), { ...plainOrigin(-1, 0), ...origin })
