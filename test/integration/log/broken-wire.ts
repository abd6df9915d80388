/** A TCP proxy before one Kafka broker that knows requests from answers, so that a test can lose or forge some. */
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Kafka's number of Produce. */
export const produceKey = 0
const metadataKey = 3

export interface Verdict {
  /** Answers in the broker's place: the payload after the correlation id. The request is not passed on. */
  readonly answer?: Buffer
  /** Passes the request on, and cuts the connection instead of passing its answer back. */
  readonly loseAnswer?: boolean
  /** Cuts the connection instead of passing the request on. */
  readonly cut?: boolean
}

class Frames {
  #buffer: Buffer = Buffer.alloc(0);

  *push(chunk: Buffer): Generator<Buffer> {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
    while (this.#buffer.length >= 4 && this.#buffer.length >= 4 + this.#buffer.readInt32BE(0)) {
      const end = 4 + this.#buffer.readInt32BE(0)
      yield this.#buffer.subarray(0, end)
      this.#buffer = this.#buffer.subarray(end)
    }
  }
}

export class BrokenWire {
  /** Decides about each request: its API key, and its frame. */
  judge: (apiKey: number, frame: Buffer) => Verdict = () => ({})
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  port = 0
  /** Connections cut by a verdict. */
  cuts = 0

  constructor(host: string, port: number) {
    this.#server = createServer((near) => {
      const far = connect({ host, port })
      const keys = new Map<number, number>()
      const lost = new Set<number>()
      const ends = [near, far]
      const cut = (): void => {
        for (const end of ends) {
          end.destroy()
          this.#sockets.delete(end)
        }
      }
      for (const end of ends) {
        this.#sockets.add(end)
        end.on('error', cut).on('close', cut)
      }
      const requests = new Frames()
      near.on('data', (chunk: Buffer) => {
        for (const frame of requests.push(chunk)) {
          const apiKey = frame.readInt16BE(4)
          const correlationId = frame.readInt32BE(8)
          const { answer, loseAnswer, cut: isCut } = this.judge(apiKey, frame)
          if (isCut) {
            this.cuts++
            return cut()
          }
          if (answer) {
            const head = Buffer.alloc(8)
            head.writeInt32BE(answer.length + 4, 0)
            head.writeInt32BE(correlationId, 4)
            near.write(Buffer.concat([head, answer]))
            continue
          }
          keys.set(correlationId, apiKey)
          if (loseAnswer) lost.add(correlationId)
          far.write(frame)
        }
      })
      const answers = new Frames()
      far.on('data', (chunk: Buffer) => {
        for (const frame of answers.push(chunk)) {
          const correlationId = frame.readInt32BE(4)
          if (lost.has(correlationId)) return cut()
          if (keys.get(correlationId) === metadataKey) this.#leadHere(frame)
          keys.delete(correlationId)
          near.write(frame)
        }
      })
    })
  }

  /** Metadata v6 names the brokers' ports: ours instead. */
  #leadHere(frame: Buffer): void {
    let at = 12
    for (let brokers = frame.readInt32BE(at); brokers > 0; brokers--) {
      at += at === 12 ? 8 : 4
      at += 2 + frame.readInt16BE(at)
      frame.writeInt32BE(this.port, at)
      at += 4
      at += 2 + Math.max(0, frame.readInt16BE(at))
    }
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    this.port = typeof address === 'object' && address !== null ? address.port : 0
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A Produce answer (v7) that gives the same error to every partition of a request of one topic. */
export function produceError(frame: Buffer, errorCode: number): Buffer {
  // length · key · version · correlation · client id · transactional id (null) · acks · timeout · topics
  let at = 12
  at += 2 + frame.readInt16BE(at)
  at += 2 + 2 + 4
  if (frame.readInt32BE(at) !== 1) throw new Error('one topic a request is expected here')
  at += 4
  const topicBytes = 2 + frame.readInt16BE(at)
  const topic = frame.subarray(at, at + topicBytes)
  at += topicBytes
  const count = frame.readInt32BE(at)
  at += 4
  const head = Buffer.alloc(4)
  head.writeInt32BE(1, 0)
  const counted = Buffer.alloc(4)
  counted.writeInt32BE(count, 0)
  const parts: Buffer[] = [head, topic, counted]
  for (let i = 0; i < count; i++) {
    const part = Buffer.alloc(4 + 2 + 24, 0xff)
    part.writeInt32BE(frame.readInt32BE(at), 0)
    part.writeInt16BE(errorCode, 4)
    at += 8 + frame.readInt32BE(at + 4)
    parts.push(part)
  }
  return Buffer.concat([...parts, Buffer.alloc(4)])
}
