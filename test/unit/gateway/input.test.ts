import { expect, test } from '@jest/globals'
import { Input, Pause } from '../../../gateway/input.ts'
import type { Transport } from '../../../gateway/transport.ts'
import type { Packet } from '../../../mqtt/packet.ts'
import { writePacket } from '../../../mqtt/writer.ts'
import fc from '../../support/fast-check.ts'

const transport = () => {
  const calls: string[] = []
  return { calls, transport: { pause: () => calls.push('pause'), resume: () => calls.push('resume') } as unknown as Transport }
}
const connect: Packet = { type: 'connect', protocolVersion: 5, bridge: false, clientId: 'c', cleanStart: true, keepAlive: 0, properties: {} }
const puback = (packetId: number): Packet => ({ type: 'puback', packetId, reasonCode: 0 })
const bytes = (...packets: readonly Packet[]): Buffer => Buffer.concat(packets.map((packet) => writePacket(packet, 5)))
const options = { maximumPacketSize: 1000 }

/** Collects what comes; `act` may pause. */
function collector(act: (packet: Packet, input: Input) => void = () => {}) {
  const seen: (number | string)[] = []
  const side = transport()
  const input: Input = new Input(
    side.transport,
    {
      onPacket: (packet) => {
        seen.push(packet.type === 'puback' ? packet.packetId : packet.type)
        act(packet, input)
      },
      onMalformed: (error) => seen.push(error.message),
    },
    options,
  )
  return { seen, input, calls: side.calls }
}

test('wherever the bytes are cut and wherever it pauses, packets come once and in order', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.array(fc.integer({ min: 1, max: 9 })), fc.array(fc.boolean()), (count, cuts, pauses) => {
      let asked = 0
      const { seen, input } = collector((_packet, self) => {
        if (pauses[asked++ % Math.max(1, pauses.length)]) self.pause(Pause.log)
      })
      const all = bytes(connect, ...Array.from({ length: count }, (_, i) => puback(i + 1)))
      let at = 0
      for (let i = 0; at < all.length; i++) {
        const size = cuts[i % Math.max(1, cuts.length)] ?? all.length
        input.take(Buffer.from(all.subarray(at, at + size)))
        at += size
        if (i % 3 === 0) input.resume(Pause.log)
      }
      while (input.isPaused) input.resume(Pause.log)
      expect(seen).toEqual(['connect', ...Array.from({ length: count }, (_, i) => i + 1)])
    }),
  )
})

test('a packet put back is handed over again before the rest, however often', () => {
  let refusals = 2
  const { seen, input } = collector((packet, self) => {
    if (packet.type === 'puback' && packet.packetId === 2 && refusals-- > 0) self.pauseBefore(packet, Pause.registry)
  })
  input.take(bytes(connect, puback(1), puback(2), puback(3)))
  input.take(bytes(puback(4)))
  expect(seen).toEqual(['connect', 1, 2])
  input.resume(Pause.registry)
  expect(seen).toEqual(['connect', 1, 2, 2])
  input.resume(Pause.registry)
  expect(seen).toEqual(['connect', 1, 2, 2, 2, 3, 4])
})

test('the socket is read again only when the last reason is gone', () => {
  const { input, calls } = collector()
  input.pause(Pause.log)
  input.pause(Pause.registry)
  expect(input.resume(Pause.log)).toBe(false)
  expect(input.isPausedFor(Pause.registry)).toBe(true)
  expect(input.resume(Pause.registry)).toBe(true)
  expect(input.resume(Pause.registry)).toBe(false)
  expect(calls).toEqual(['pause', 'resume'])
})

test('what is wrong behind held packets is told after them', () => {
  const { seen, input } = collector((packet, self) => packet.type === 'connect' && self.pause(Pause.attaching))
  input.take(Buffer.concat([bytes(connect, puback(1)), Buffer.from([0x00, 0x00])]))
  expect(seen).toEqual(['connect'])
  input.resume(Pause.attaching)
  expect(seen).toEqual(['connect', 1, 'packet type 0 is reserved'])
})

test('nothing comes after the close, also from the middle of a chunk', () => {
  const { seen, input, calls } = collector((packet, self) => packet.type === 'puback' && self.close())
  input.take(bytes(connect, puback(1), puback(2)))
  input.take(bytes(puback(3)))
  expect(seen).toEqual(['connect', 1])
  expect(calls).toEqual([])
})
