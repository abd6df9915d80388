import { ReasonCode } from './reason-code.ts'

/** Bytes that are not a packet this side may be sent. `reasonCode` is what goes on the wire before the connection is closed (section 4.13). */
export class MalformedPacket extends Error {
  readonly reasonCode: ReasonCode
  constructor(message: string, reasonCode: ReasonCode = ReasonCode.MalformedPacket) {
    super(message)
    this.name = 'MalformedPacket'
    this.reasonCode = reasonCode
  }
}

/** Well-formed bytes that the protocol forbids here (0x82). */
export function protocolError(message: string): MalformedPacket {
  return new MalformedPacket(message, ReasonCode.ProtocolError)
}
