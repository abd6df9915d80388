/** Which receipts a connection's receiving half gives, and when. */
import { expect, test } from '@jest/globals'
import { Delivering } from '../../../gateway/delivering.ts'
import { Output } from '../../../gateway/output.ts'
import { ClientRates, NamespaceRates } from '../../../gateway/rates.ts'
import { ConnectionReceipts } from '../../../gateway/receipts.ts'
import type { Receipt } from '../../../schemas/evidence-records.ts'
import { clientOf, config, metricsOf } from './client-parts.ts'
import { outgoing } from './outgoing-message.ts'

function rig(but: { receiveMaximum?: number; maximumPacketSize?: number; isTransient?: boolean } = {}) {
  const told: string[] = []
  const owner = {
    awaitsSuback: false,
    recordsGiven: 0,
    recordsAnswered: 0,
    waitingBytes: 0,
    onOutput: () => {},
    onDone: () => {},
    onOverflow: () => {},
    onThrottled: () => {},
  }
  const metrics = metricsOf()
  const rates = new ClientRates(new NamespaceRates({ config, metrics, now: () => 0 }))
  const client = { ...clientOf(5, but.receiveMaximum), maximumPacketSize: but.maximumPacketSize ?? 0 }
  const delivering = new Delivering(config, metrics, owner, client, new Output(), rates, but.isTransient ?? true)
  const add = (shard: number, { messageId, source, offset, qos, outcome, reason }: Omit<Receipt, 'at'>): void => {
    told.push([shard, messageId[0], `${source}:${offset}`, `q${qos}`, outcome, reason].join(' ').trim())
  }
  delivering.receipts = new ConnectionReceipts({ add }, 3, 'c')
  const deliver = (n: number, qos: 0 | 1 | 2, more: { number?: number; expiry?: number; now?: number; payload?: number; place?: number } = {}): void => {
    const published = {
      messageId: Buffer.alloc(16, n),
      receivedAt: 0,
      qos,
      messageExpiryInterval: more.expiry ?? null,
      payload: Buffer.alloc(more.payload ?? 0),
    }
    const message = outgoing(published, { partition: more.place ?? 2, offset: n * 10 })
    const receiver = { connection: 1, qos, dup: false, retain: false, number: more.number ?? -1, subscriptionIdentifiers: [] }
    delivering.deliver(message, receiver, more.now ?? 0)
  }
  return { delivering, deliver, told, owner }
}

test('QoS 0 is sent, QoS 1 is sent and acknowledged, QoS 2 is acknowledged when it is complete', () => {
  const { delivering, deliver, told } = rig()
  deliver(1, 0)
  deliver(2, 1)
  deliver(3, 2)
  delivering.acknowledge(1, 0, 0)
  delivering.receive(2, 0, 0)
  delivering.complete(2, 0)
  expect(told).toEqual(['3 1 2:10 q0 sent', '3 2 2:20 q1 sent', '3 3 2:30 q2 sent', '3 2 2:20 q1 acknowledged', '3 3 2:30 q2 acknowledged'])
})

test('what the session is owed is told alike', () => {
  const { delivering, deliver, told } = rig({ isTransient: false })
  deliver(1, 1, { number: 0 })
  deliver(2, 1, { number: 1, expiry: 1, now: 5_000 })
  delivering.acknowledge(1, 0, 0)
  expect(told).toEqual(['3 1 2:10 q1 sent', '3 2 2:20 q1 dropped expired', '3 1 2:10 q1 acknowledged'])
})

test('what is dropped has its reason: expired, too large, a client that is too slow', () => {
  const { deliver, told, owner } = rig({ maximumPacketSize: 40 })
  deliver(1, 0, { expiry: 1, now: 5_000 })
  deliver(2, 0, { payload: 100 })
  deliver(3, 1, { payload: 100 })
  owner.waitingBytes = config.OUTBOUND_QUEUE_BYTES_MAX
  deliver(4, 0)
  deliver(5, 1)
  expect(told).toEqual([
    '3 1 2:10 q0 dropped expired',
    '3 2 2:20 q0 dropped tooLarge',
    '3 3 2:30 q1 dropped tooLarge',
    '3 4 2:40 q0 dropped slow',
    '3 5 2:50 q1 dropped OUTBOUND_QUEUE_BYTES_MAX',
  ])
})

test('what waited behind the window when the connection ended is told; where it is not known in messages, by its id alone', () => {
  const { delivering, deliver, told } = rig({ receiveMaximum: 1 })
  deliver(1, 1, { place: -1 })
  deliver(2, 1)
  delivering.close()
  expect(told).toEqual(['3 1 -1:-1 q1 sent', '3 2 2:20 q1 dropped connectionEnded'])
})

test('what the client refuses is acknowledged with its reason: a PUBACK or a PUBREC from 0x80 on', () => {
  const { delivering, deliver, told } = rig()
  deliver(1, 1)
  deliver(2, 2)
  delivering.acknowledge(1, 0x97, 0)
  delivering.receive(2, 0x83, 0)
  expect(told.slice(2)).toEqual(['3 1 2:10 q1 acknowledged QuotaExceeded', '3 2 2:20 q2 acknowledged ImplementationSpecificError'])
})

test('without receipts nothing is told', () => {
  const { delivering, deliver, told } = rig()
  delivering.receipts = null
  deliver(1, 1)
  delivering.acknowledge(1, 0, 0)
  delivering.close()
  expect(told).toEqual([])
})
