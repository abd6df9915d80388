/** Requests to a schema registry with Confluent's API: bounded in time and bytes, never after a redirect, to the first of its addresses that answers. */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'

/** The registry has answered, and not what was asked for. The message holds no secret. */
export class RegistryRefused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.name = 'RegistryRefused'
    this.status = status
  }
}

/** No address has answered; it is worth asking again. */
export class RegistryAway extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RegistryAway'
  }
}

export interface RegistryAddresses {
  readonly urls: readonly string[]
  readonly authorization: string | undefined
  readonly ca: string | undefined
}

/** A registered schema. */
export interface RegisteredSchema {
  readonly id: number
  /** JSON. */
  readonly schema: string
}

/** For one request, ms; it is repeated elsewhere, and later. */
const requestMs = 5_000
/** Longest answer, bytes: a schema of ours has some thousand. */
const answerBytesMax = 1 << 20
const mediaType = 'application/vnd.schemaregistry.v1+json'

export class RegistryClient {
  readonly #addresses: RegistryAddresses

  constructor(addresses: RegistryAddresses) {
    this.#addresses = addresses
  }

  /** Version numbers of a subject; empty when there is none. Rejects with RegistryAway, RegistryRefused. */
  async versions(subject: string): Promise<readonly number[]> {
    const answer = await this.#ask('GET', `/subjects/${encodeURIComponent(subject)}/versions`, null, 404)
    if (answer === undefined) return []
    if (!Array.isArray(answer) || !answer.every((version) => Number.isInteger(version))) throw unlike('a list of versions')
    return answer as number[]
  }

  /** Undefined when it is gone, or no Avro. Rejects with RegistryAway, RegistryRefused. */
  async version(subject: string, version: number): Promise<RegisteredSchema | undefined> {
    const answer = await this.#ask('GET', `/subjects/${encodeURIComponent(subject)}/versions/${version}`, null, 404)
    if (answer === undefined) return undefined
    const { id, schema, schemaType = 'AVRO' } = answer as Readonly<Record<string, unknown>>
    if (typeof id !== 'number' || typeof schema !== 'string') throw unlike('a schema with its id')
    return schemaType === 'AVRO' ? { id, schema } : undefined
  }

  /** The id that the schema has from now on. Rejects with RegistryAway, RegistryRefused. */
  async register(subject: string, schema: string): Promise<number> {
    const answer = await this.#ask('POST', `/subjects/${encodeURIComponent(subject)}/versions`, JSON.stringify({ schema }))
    const { id } = answer as Readonly<Record<string, unknown>>
    if (typeof id !== 'number') throw unlike('an id')
    return id
  }

  async #ask(method: 'GET' | 'POST', path: string, body: string | null, missing?: number): Promise<unknown> {
    const reasons: string[] = []
    for (const url of this.#addresses.urls) {
      try {
        const { status, text } = await this.#send(method, url, path, body)
        if (status === missing) return undefined
        if (status === 200) return read(text)
        if (status !== 429 && status < 500) throw new RegistryRefused(status, `${url} answers ${status}${saidIn(text)}`)
        reasons.push(`${url} answers ${status}`)
      } catch (error) {
        if (error instanceof RegistryRefused) throw error
        reasons.push(`${url}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`)
      }
    }
    throw new RegistryAway(reasons.join('; '))
  }

  #send(method: string, url: string, path: string, body: string | null): Promise<{ readonly status: number; readonly text: string }> {
    const { authorization, ca } = this.#addresses
    return new Promise((resolve, reject) => {
      const headers = {
        accept: `${mediaType}, application/json`,
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === null ? {} : { 'content-type': mediaType, 'content-length': String(Buffer.byteLength(body)) }),
      }
      const options = { method, headers, agent: false, signal: AbortSignal.timeout(requestMs) } as const
      const onResponse = (response: IncomingMessage): void => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          size += chunk.length
          if (size > answerBytesMax) response.destroy(new Error(`its answer has more than ${answerBytesMax} bytes`))
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
        response.on('error', reject)
      }
      const asked = url.startsWith('https:')
        ? requestHttps(`${url}${path}`, { ...options, ...(ca === undefined ? {} : { ca }) }, onResponse)
        : requestHttp(`${url}${path}`, options, onResponse)
      asked.on('error', (error) => reject(options.signal.aborted ? new Error(`no answer within ${requestMs} ms`) : error))
      asked.end(body ?? undefined)
    })
  }
}

function read(text: string): unknown {
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer === 'object' && answer !== null) return answer
  } catch {
    // said below
  }
  throw unlike('JSON')
}

function unlike(expected: string): RegistryRefused {
  return new RegistryRefused(200, `it does not answer like a schema registry: ${expected} was expected`)
}

/** What the registry says of it, as far as it fits into a line. */
function saidIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown }
    return typeof message === 'string' ? `: ${message.replace(/\s+/g, ' ').slice(0, 300)}` : ''
  } catch {
    return ''
  }
}
