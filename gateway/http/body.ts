/** Reads the body of a request, bounded in size, in time, and in the room that all bodies share. */
import type { IncomingMessage } from 'node:http'
import type { ByteBudget } from './byte-budget.ts'

export interface BodyLimits {
  readonly bytesMax: number
  readonly timeoutMs: number
  readonly budget: ByteBudget
}

/** The body was not taken; `gone`: there is nobody to be told. */
export class BodyRefused extends Error {
  readonly why: 'tooLarge' | 'slow' | 'noRoom' | 'gone'
  constructor(why: BodyRefused['why']) {
    super(why)
    this.why = why
  }
}

export interface Body {
  readonly bytes: Buffer
  /** Gives its room back: once, when the bytes are not used any more. */
  release(): void
}

const firstBytes = 4096

/** Rejects with BodyRefused; the rest is then read and thrown away, so that the answer can be heard. */
export function readBody(request: IncomingMessage, { bytesMax, timeoutMs, budget }: BodyLimits): Promise<Body> {
  return new Promise((resolve, reject) => {
    const announced = Number(request.headers['content-length'] ?? 0)
    // Many small chunks take no more than their bytes: they are put together as they come.
    let bytes = Buffer.alloc(0)
    let room = 0
    let size = 0
    const settle = (): void => {
      clearTimeout(timer)
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      request.on('error', () => {})
      request.resume()
    }
    const refuse = (why: BodyRefused['why']): void => {
      settle()
      budget.give(room)
      reject(new BodyRefused(why))
    }
    const makeRoom = (needed: number): boolean => {
      if (needed <= bytes.length) return true
      const wanted = Math.min(bytesMax, Math.max(needed, 2 * bytes.length, Math.min(announced, firstBytes)))
      if (!budget.tryTake(wanted - room)) return false
      room = wanted
      const larger = Buffer.allocUnsafe(wanted)
      bytes.copy(larger, 0, 0, size)
      bytes = larger
      return true
    }
    const onData = (chunk: Buffer): void => {
      if (size + chunk.length > bytesMax) refuse('tooLarge')
      else if (!makeRoom(size + chunk.length)) refuse('noRoom')
      else size += chunk.copy(bytes, size)
    }
    const onEnd = (): void => {
      settle()
      resolve({ bytes: bytes.subarray(0, size), release: () => budget.give(room) })
    }
    const onClose = (): void => refuse('gone')
    const timer = setTimeout(() => refuse('slow'), timeoutMs)
    if (announced > bytesMax) refuse('tooLarge')
    else request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}
