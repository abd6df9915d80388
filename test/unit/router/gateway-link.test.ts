import { afterEach, expect, test } from '@jest/globals'
import { FrameLink } from '../../../proto/delivery.ts'
import type { RouterFrame } from '../../../proto/frames.ts'
import { Gateway, type GatewayHandlers } from '../../../router/gateway.ts'
import { linkPair } from '../../support/link-pair.ts'

let gateway: Gateway
afterEach(() => gateway.close())

/** A router's link to a gateway that answers nothing by itself. */
function linked(handlers: Partial<GatewayHandlers>) {
  const [here, there] = linkPair({ readableObjectMode: true, writableObjectMode: true })
  const received: RouterFrame[] = []
  let notify = (): void => {}
  const link = new FrameLink(there, {
    onFrame: (frame) => {
      received.push(frame as RouterFrame)
      notify()
    },
    onEnd() {},
  })
  const nothing: GatewayHandlers = { onShardState() {}, onAcks() {}, onDrain() {}, onDropped() {}, onOverflow() {}, onLink() {} }
  gateway = new Gateway({
    identity: { id: 'g', incarnation: 1, address: '' },
    router: 'r',
    handlers: { ...nothing, ...handlers },
    limits: { queueBytesMax: 1000, stallMs: 1000 },
    now: () => 0,
    dial: () => ({ link: () => here, close() {} }),
  })
  const until = (kind: RouterFrame['kind'], count: number): Promise<void> =>
    new Promise((resolve) => {
      notify = () => {
        if (received.filter((frame) => frame.kind === kind).length >= count) resolve()
      }
      notify()
    })
  return { link, received, until }
}

test('a ping names the shards whose connections the gateway has told, behind the ends of those that are over', async () => {
  const { link, received, until } = linked({
    onShardState: (told, shard, term) => told.endConnection({ kind: 'close', shard, term, connection: 7, reasonCode: 0x8e, reason: 'SessionTakenOver' }),
  })
  gateway.own(3, 5)
  link.send({ kind: 'welcome', gateway: 'g', incarnation: 1 })
  await until('own', 1)
  gateway.tick()
  await until('ping', 1)
  link.send({ kind: 'shardState', shard: 3, term: 5, receivedTo: -1, sessions: [] })
  await until('ping', 2)
  gateway.own(3, 6)
  gateway.tick()
  await until('ping', 3)
  expect(received.map((frame) => (frame.kind === 'ping' ? frame.reconciled : frame.kind))).toEqual(['hello', 'own', [], 'close', [3], 'own', []])
})
