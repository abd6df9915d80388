import { duplexPair } from 'node:stream'
import { expect, test } from '@jest/globals'
import { pino } from 'pino'
import type { Outgoing } from '../../../gateway/outgoing.ts'
import type { LinkHost } from '../../../gateway/router-links.ts'
import { RouterLinks } from '../../../gateway/router-links.ts'
import { FrameLink } from '../../../proto/delivery.ts'
import type { Frame } from '../../../proto/frames.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'

/** A gateway's side of a link with a router; keys of messages are known once the log was asked. */
function linked(connection: (number: number) => unknown = () => undefined) {
  const known = new Set<string>()
  const asked: (() => void)[] = []
  const pongs: Frame[] = []
  const host = {
    id: 'g',
    incarnation: 1,
    metrics: { deliveriesDropped: { gone: 0 }, staleFrames: { inc() {} } },
    logger: pino({ level: 'silent' }),
    tracing: null,
    sealing: {
      isUnknown: (value: Buffer) => value.toString().startsWith('sealed') && !known.has(value.toString()),
      confirm: () => new Promise<void>((resolve) => asked.push(resolve)),
      opened: () => null,
    },
    now: () => 0,
    connections: { attached: { get: connection }, ofShard: () => [] },
    onLateAnswer() {},
    onSuperseded() {},
    onReconciled() {},
  } as unknown as LinkHost
  const [here, there] = duplexPair({ readableObjectMode: true, writableObjectMode: true })
  new RouterLinks(host, 4).onLink(here, 'test')
  const link = new FrameLink(there, { onFrame: (frame) => pongs.push(frame), onEnd() {} })
  link.send({ kind: 'hello', router: 'r', gateway: 'g', incarnation: 1 } as Frame)
  link.send({ kind: 'own', shard: 0, term: 5 } as Frame)
  const direct = (from: number, value: string | Buffer, receivers: readonly unknown[] = []): void =>
    link.send({
      kind: 'direct',
      shard: 0,
      term: 5,
      from,
      to: from + 1,
      messages: [{ source: 0, offset: from, value: Buffer.from(value), receivers }],
    } as unknown as Frame)
  const received = (): number[] => pongs.flatMap((frame) => (frame.kind === 'received' ? [frame.to] : []))
  return { direct, received, known, asked }
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !condition(); ) {
    if (Date.now() > end) throw new Error('it did not come to pass')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('a message whose key is not known yet waits for the log, with all that its router sent behind it and in that order', async () => {
  const { direct, received, known, asked } = linked()
  direct(0, 'plain')
  await until(() => received().length === 1)
  direct(1, 'sealed with a')
  direct(2, 'plain')
  direct(3, 'sealed with b')
  direct(4, 'sealed with c')
  await until(() => asked.length === 1)
  expect(received()).toEqual([1])
  known.add('sealed with a')
  asked[0]?.()
  await until(() => asked.length === 2)
  await until(() => received().length === 3)
  expect(received()).toEqual([1, 2, 3])
  // The log was asked, and there are no such keys: the messages are handed on to be told so, both after one question.
  asked[1]?.()
  direct(5, 'plain')
  await until(() => received().length === 6)
  expect(received()).toEqual([1, 2, 3, 4, 5, 6])
  expect(asked).toHaveLength(2)
})

test('what was erased is handed on as expired, with its place in messages for receipts', async () => {
  const delivered: Outgoing[] = []
  const { direct, received } = linked(() => ({ deliver: (message: Outgoing) => delivered.push(message) }))
  const receiver = { connection: 1, qos: 1, dup: false, retain: false, number: -1, subscriptionIdentifiers: [] }
  direct(7, Buffer.from(encodeMessage(loggedMessage())), [receiver])
  await until(() => received().length === 1)
  expect(delivered.map((each) => [each.partition, each.offset, each.isExpired(1)])).toEqual([[0, 7, true]])
})
