import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { expect, test } from '@jest/globals'
import { dialDelivery, FrameLink, serveDelivery } from '../../../proto/delivery.ts'
import type { Frame } from '../../../proto/frames.ts'

test('frames sent in one tick cross a real gRPC stream in order, both ways, and the end of one side reaches the other', async () => {
  const atGateway: Frame[] = []
  const atRouter: Frame[] = []
  let ended: (reason: string) => void = () => {}
  const gatewayEnded = new Promise<string>((resolve) => {
    ended = resolve
  })
  const server = await serveDelivery({
    address: '127.0.0.1:0',
    onLink(stream: Duplex) {
      const link: FrameLink = new FrameLink(stream, {
        onFrame(frame) {
          atGateway.push(frame)
          if (frame.kind === 'ping') link.send({ kind: 'pong', nonce: frame.nonce })
        },
        onEnd: ended,
      })
    },
  })
  const client = dialDelivery(`127.0.0.1:${server.port}`)
  const stream = client.link()
  const payload = Buffer.alloc(300_000, 7)
  const link = new FrameLink(stream, { onFrame: (frame) => atRouter.push(frame), onEnd() {} })
  link.send({ kind: 'hello', router: 'r', incarnation: 1 })
  for (let i = 0; i < 20; i++) {
    link.send({ kind: 'owed', shard: 0, term: 1, messages: [{ source: 0, offset: i, value: payload, receivers: [] }] })
  }
  link.send({ kind: 'ping', nonce: 99 })
  while (atRouter.length === 0) await once(stream, 'data')
  expect(atRouter).toEqual([{ kind: 'pong', nonce: 99 }])
  expect(atGateway.map((frame) => frame.kind)).toEqual(['hello', ...Array(20).fill('owed'), 'ping'])
  expect(atGateway.flatMap((frame) => (frame.kind === 'owed' ? frame.messages.map((message) => message.offset) : []))).toEqual([...Array(20).keys()])
  link.close('done')
  expect(await gatewayEnded).toContain('ended')
  client.close()
  server.close()
})
