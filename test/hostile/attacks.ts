/**
 * Clients that mean harm, or are only badly made. Each runs for a bounded time in a process of its own, so that the
 * bystander's clock is not theirs, and comes from its own address. Prints one JSON line of counts at its end.
 *
 *   node attacks.ts <attack> <port> <seconds>
 */
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { Random } from '../simulation/random.ts'
import * as mqtt from '../wire/bytes.ts'
import { mutate } from '../wire/mutants.ts'
import { Framer } from '../wire/reading.ts'

export interface AttackCounts {
  /** Sockets that were opened, or packets that were sent. */
  readonly done: number
  /** Sockets that the server closed or refused. */
  readonly ended: number
  /** CONNACKs that let a client in. */
  readonly accepted: number
}

type Attack = (port: number, seconds: number) => Promise<AttackCounts>

const counts = { done: 0, ended: 0, accepted: 0 }

function dial(port: number, localAddress: string, onConnect: (socket: net.Socket) => void): net.Socket {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress }, () => onConnect(socket))
  socket.on('error', () => {})
  socket.on('close', () => counts.ended++)
  return socket
}

/** Calls `one` so many times a second until the time is over. */
async function rate(perSecond: number, seconds: number, one: (index: number) => void): Promise<void> {
  const begin = performance.now()
  let done = 0
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - begin
      const due = Math.min(perSecond * seconds, Math.floor((elapsed / 1_000) * perSecond))
      while (done < due) one(done++)
      if (elapsed < seconds * 1_000) return
      clearInterval(timer)
      resolve()
    }, 10)
  })
}

const elapse = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1_000))

const attacks: Readonly<Record<string, Attack>> = {
  /** 2,000 sockets that say nothing, or begin a CONNECT and never end it. */
  async halfOpen(port, seconds) {
    const begun = mqtt.connect({ version: 5, clientId: 'half' }).subarray(0, 7)
    const sockets = Array.from({ length: 2_000 }, (_, i) =>
      dial(port, `127.0.1.${(i % 4) + 1}`, (socket) => {
        counts.done++
        if (i % 2 === 1) socket.write(begun)
      }),
    )
    for (let left = 600; counts.done < sockets.length && left > 0; left--) await elapse(0.1)
    await elapse(seconds)
    for (const each of sockets) each.destroy()
    return counts
  },

  /** 200 clients that subscribe to a flood and never read it; half of the flood is QoS 1. */
  async neverRead(port, seconds) {
    const filter = 'hostile/flood'
    const sockets = Array.from({ length: 200 }, (_, i) =>
      dial(port, '127.0.2.1', (socket) => {
        counts.done++
        socket.write(Buffer.concat([mqtt.connect({ version: 5, clientId: `deaf-${i}` }), mqtt.subscribe(5, 1, [[filter, i % 2]])]))
        // Reads CONNACK and SUBACK, then never again.
        let answers = 0
        const framer = new Framer()
        socket.on('data', (chunk) => {
          for (const [first] of framer.push(chunk)) {
            if (first >> 4 === 2) counts.accepted++
            if (++answers === 2) socket.pause()
          }
        })
      }),
    )
    const flooder = dial(port, '127.0.2.2', (socket) => void socket.write(mqtt.connect({ version: 5, clientId: 'flooder' })))
    flooder.resume()
    const payload = Buffer.alloc(64 * 1024, 120)
    await rate(12, seconds, (i) => {
      flooder.write(mqtt.publish({ version: 5, topic: filter, payload, qos: i % 2, id: (i % 60_000) + 1 }))
    })
    for (const each of [...sockets, flooder]) each.destroy()
    return counts
  },

  /** 500 clients a second that connect and leave at once, orderly or not. */
  async connectStorm(port, seconds) {
    await rate(500, seconds, (i) => {
      dial(port, '127.0.3.1', (socket) => {
        counts.done++
        socket.write(mqtt.connect({ version: i % 2 === 0 ? 5 : 4, clientId: `storm-${i}` }))
        socket.on('data', (chunk) => {
          if (chunk[0] === 0x20 && chunk[3] === 0) counts.accepted++
          if (i % 3 === 0) socket.destroy()
          else socket.end(mqtt.disconnect(4))
        })
      })
    })
    await elapse(1)
    return counts
  },

  /** 1,000 malformed packets a second, most of them first packets, some behind a proper CONNECT. */
  async malformed(port, seconds) {
    const bad: readonly Buffer[] = [
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]),
      Buffer.from([0x10, 0x04, 0x00, 0x04, 0x4d, 0x51]),
      mqtt.connect({ version: 5, clientId: Buffer.from([0xc3, 0x28]) }),
      mqtt.connect({ version: 5, clientId: 'x', flags: 0xff }),
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.alloc(64, 0xff),
      mqtt.publish({ version: 5, topic: 'a/#', qos: 3, id: 0 }),
    ]
    await rate(1_000, seconds, (i) => {
      dial(port, `127.0.4.${(i % 8) + 1}`, (socket) => {
        counts.done++
        const packet = bad[i % bad.length] as Buffer
        socket.resume()
        socket.end(i % 20 === 0 ? Buffer.concat([mqtt.connect({ version: 5, clientId: `bad-${i}` }), packet]) : packet)
      })
    })
    await elapse(1)
    return counts
  },

  /** 200 clients a second, each let in and then sending some forty packets in one go, most of them changed in a byte or a few. */
  async mutants(port, seconds) {
    const random = new Random(0x10_99)
    await rate(200, seconds, (i) => {
      const version = i % 2 === 0 ? 5 : 4
      dial(port, `127.0.5.${(i % 8) + 1}`, (socket) => {
        const originals = rightPackets(version)
        const packets = Array.from({ length: 40 }, () => {
          const original = random.pick(originals)
          return random.chance(0.8) ? mutate(original, random) : original
        })
        counts.done += packets.length
        socket.resume()
        socket.end(Buffer.concat([mqtt.connect({ version, clientId: `mutant-${i % 50}`, clean: random.chance(0.5) }), ...packets]))
      })
    })
    await elapse(1)
    return counts
  },
}

/** One of each that a client may send behind its CONNECT, and that once more. */
function rightPackets(version: mqtt.Version): readonly Buffer[] {
  const properties: mqtt.Properties = [
    [mqtt.Property.messageExpiryInterval, 5],
    [mqtt.Property.topicAlias, 2],
    [mqtt.Property.responseTopic, 'mutants/answer'],
    [mqtt.Property.userProperty, ['k', 'v']],
  ]
  return [
    ...[0, 1, 2].map((qos) => mqtt.publish({ version, topic: 'mutants/a', qos, id: 7, payload: 'x', ...(version === 5 && { properties }) })),
    mqtt.subscribe(version, 3, [
      ['mutants/#', 2],
      ['$share/g/mutants/+', 1],
    ]),
    mqtt.unsubscribe(version, 4, ['mutants/#', 'mutants/b']),
    ...[mqtt.puback(1), mqtt.pubrec(1), mqtt.pubrel(7), mqtt.pubcomp(1), mqtt.pingreq, mqtt.disconnect(version)],
    mqtt.connect({ version, clientId: 'mutant' }),
  ]
}

const attackNames = Object.keys(attacks)

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name = '', port = '', seconds = '5'] = process.argv.slice(2)
  const attack = attacks[name]
  if (!attack) throw new Error(`no attack “${name}”: there are ${attackNames.join(', ')}`)
  // Or until it is told to end.
  const ended = new Promise<AttackCounts>((resolve) => process.once('SIGTERM', () => resolve(counts)))
  process.stdout.write(`${JSON.stringify(await Promise.race([attack(Number(port), Number(seconds)), ended]))}\n`, () => process.exit(0))
}
