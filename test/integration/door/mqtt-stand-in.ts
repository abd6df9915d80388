import { createServer, type Socket } from 'node:net'
import mqtt from 'mqtt-packet'
import { listening } from './fixtures.ts'

export interface StandIn {
  readonly address: string
  /** What the clients sent, in order. */
  readonly seen: mqtt.Packet[]
  /** What it does instead of its duty; changes take effect with the next packet. */
  readonly faults: {
    connack: 'accept' | 'refuse' | 'none'
    puback: 'yes' | 'no' | 'hold'
    deliver: (topic: string) => boolean
  }
  /** Sends the PUBACKs held back, and from now on at once. */
  release(): void
  /** Ends every connection. */
  hangUp(): void
}

/** As much of a broker as the canary needs: it answers, and sends what is published back to its publisher. */
export async function mqttStandIn(port = 0): Promise<StandIn> {
  const faults: StandIn['faults'] = { connack: 'accept', puback: 'yes', deliver: () => true }
  const seen: mqtt.Packet[] = []
  const sockets = new Set<Socket>()
  let held: (() => void)[] = []
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    const parser = mqtt.parser({ protocolVersion: 5 })
    const send = (packet: mqtt.Packet): void => {
      socket.write(mqtt.generate(packet, { protocolVersion: 5 }))
    }
    let messageId = 0
    socket.on('data', (chunk) => parser.parse(chunk))
    parser.on('packet', (packet) => {
      seen.push(packet)
      switch (packet.cmd) {
        case 'connect':
          if (faults.connack === 'accept') send({ cmd: 'connack', reasonCode: 0, sessionPresent: false })
          if (faults.connack === 'refuse') send({ cmd: 'connack', reasonCode: 0x88, sessionPresent: false })
          break
        case 'subscribe':
          send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [1] })
          break
        case 'publish': {
          const answer = (): void => {
            send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0 })
            if (!faults.deliver(packet.topic)) return
            send({ cmd: 'publish', topic: packet.topic, payload: packet.payload, qos: 1, dup: false, retain: false, messageId: (messageId++ % 65_535) + 1 })
          }
          if (faults.puback === 'yes') answer()
          if (faults.puback === 'hold') held.push(answer)
          break
        }
      }
    })
  })
  return {
    address: await listening(server, port),
    seen,
    faults,
    release: () => {
      faults.puback = 'yes'
      for (const answer of held.splice(0)) answer()
      held = []
    },
    hangUp: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}
