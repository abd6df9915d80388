/** Sessions for tests of what is built on them. */
import { Session } from '../../../model/session.ts'
import type { Attachment } from '../../../schemas/snapshot-records.ts'

export const attachment = (connection = 1, incarnation = 7, receiveMaximum = 10): Attachment => ({
  gateway: { id: `g${incarnation}`, incarnation },
  connection,
  connectionId: Buffer.alloc(16, connection),
  receiveMaximum,
  maximumPacketSize: 0,
  keepAlive: 60,
  protocolVersion: 5,
  remoteAddress: '127.0.0.1',
  transport: 'tcp',
  at: 0,
})

export function sessionOf(clientId: string, but: { id?: number; shard?: number; expiryInterval?: number; attached?: Attachment | null } = {}): Session {
  return new Session({
    clientId,
    shard: but.shard ?? 0,
    authenticationName: 'device',
    id: but.id ?? 0,
    sequence: 1,
    expiryInterval: but.expiryInterval ?? 100,
    attached: but.attached === undefined ? attachment() : but.attached,
    will: null,
    attributes: {},
    vouchedBy: '',
    ownerKind: '',
  })
}

/** Owes the session the messages at these offsets of shard 0. */
export function owe(session: Session, ...offsets: number[]): void {
  for (const offset of offsets)
    session.queue.push({ source: 0, offset, size: 10, expiresAt: 0, qos: 1, retain: false, subscriptionIdentifiers: [], group: null, at: offset * 1000 })
}
