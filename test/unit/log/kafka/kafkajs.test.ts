import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from '@jest/globals'
import { type Connection, type KafkajsLogger, newConnection } from '../../../../log/kafka/kafkajs.ts'

const silent: KafkajsLogger = { namespace: () => silent, info() {}, warn() {}, error() {}, debug() {} }

/** A request whose answer is itself: a length, the correlation id, and so many bytes. */
function ask(connection: Connection, bodyBytes: number): Promise<Buffer> {
  const correlationId = connection.nextCorrelationId()
  const frame = Buffer.alloc(8 + bodyBytes, correlationId)
  frame.writeInt32BE(4 + bodyBytes)
  frame.writeInt32BE(correlationId, 4)
  return new Promise((resolve, reject) => {
    connection.requestQueue.push({
      entry: { apiKey: 0, apiName: 'echo', apiVersion: 0, correlationId, resolve: ({ payload }) => resolve(payload), reject },
      expectResponse: true,
      requestTimeout: null,
      sendRequest: () => connection.socket?.write(frame),
    })
  })
}

test('an answer is handed on in the memory that its bytes were gathered in, not in a copy of it', async () => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const connection = newConnection({ host: '127.0.0.1', port, clientId: 'test', ssl: null, sasl: null, logger: silent, connectTimeoutMs: 5_000 })
  await connection.connect()
  const gathered: Buffer[] = []
  connection.socket?.prependListener('data', (bytes: Buffer) => gathered.push(bytes))
  const answers = await Promise.all([ask(connection, 100_000), ask(connection, 200_000), ask(connection, 300_000)])
  expect(answers.map(({ length }) => length)).toEqual([100_000, 200_000, 300_000])
  expect(answers.map(({ buffer }, index) => buffer === gathered[index]?.buffer)).toEqual([true, true, true])
  await connection.disconnect()
  server.close()
})
