/** Objects of an S3-compatible store, by AWS’s own client over requests that go only where an operator lets them. */
import { Readable } from 'node:stream'
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'
import type { OutgoingPolicy } from '../../outgoing/outgoing-policy.ts'
import { type OutgoingRequest, OutgoingRequests } from '../../outgoing/outgoing-request.ts'
import type { BucketConfig } from './bucket-settings.ts'

export interface BucketStoreOptions extends Pick<BucketConfig, 'endpoint' | 'region' | 'credentials'> {
  readonly policy: OutgoingPolicy
  readonly ca: string | undefined
}

export interface StoredObject {
  readonly key: string
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number
}

/** For one request, ms. */
const requestMs = 30_000
/** Of an answer: an object of dead letters, or a page of a list. */
const answerBytesMax = 32 * 1024 * 1024
const connectionsMax = 8

/** What of the client’s requests counts. */
interface ClientRequest {
  readonly method: string
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

type Library = typeof import('@aws-sdk/client-s3')

export class BucketStore {
  readonly #options: BucketStoreOptions
  readonly #requests: OutgoingRequests
  /** Loaded when the first letter is written: it is large, and most routers never need it. */
  #opened: Promise<{ readonly library: Library; readonly client: S3Client }> | undefined

  constructor(options: BucketStoreOptions) {
    this.#options = options
    this.#requests = new OutgoingRequests({ policy: options.policy, connectionsMax, ca: options.ca })
  }

  /** Rejects with what the store or the network says; no error tells the credentials. */
  async put(bucket: string, key: string, body: Buffer): Promise<void> {
    const { client, library } = await this.#open()
    await client.send(new library.PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentType: 'application/json' }))
  }

  async get(bucket: string, key: string): Promise<string> {
    const { client, library } = await this.#open()
    const { Body } = await client.send(new library.GetObjectCommand({ Bucket: bucket, Key: key }))
    return (await Body?.transformToString()) ?? ''
  }

  async *list(bucket: string, prefix: string): AsyncGenerator<StoredObject> {
    const { client, library } = await this.#open()
    let token: string | undefined
    do {
      const page = await client.send(new library.ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }))
      for (const { Key, LastModified } of page.Contents ?? []) if (Key !== undefined) yield { key: Key, modifiedAt: LastModified?.getTime() ?? 0 }
      token = page.NextContinuationToken
    } while (token !== undefined)
  }

  /** A copy, and then the old one goes: killed in between, both are there. */
  async rename(bucket: string, from: string, to: string): Promise<void> {
    const { client, library } = await this.#open()
    await client.send(new library.CopyObjectCommand({ Bucket: bucket, Key: to, CopySource: encodeURIComponent(`${bucket}/${from}`) }))
    await client.send(new library.DeleteObjectCommand({ Bucket: bucket, Key: from }))
  }

  close(): void {
    this.#requests.close()
  }

  #open(): Promise<{ readonly library: Library; readonly client: S3Client }> {
    const { endpoint, region, credentials } = this.#options
    this.#opened ??= import('@aws-sdk/client-s3').then((library) => ({
      library,
      client: new library.S3Client({
        endpoint,
        region,
        credentials,
        forcePathStyle: true,
        // Who writes dead letters tries again, at times of his own.
        maxAttempts: 1,
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
        requestHandler: {
          handle: (request: ClientRequest) => this.#send(request),
          updateHttpClientConfig: () => {},
          httpHandlerConfigs: () => ({}),
        } as unknown as NonNullable<S3ClientConfig['requestHandler']>,
      }),
    }))
    return this.#opened
  }

  async #send(request: ClientRequest): Promise<{ readonly response: object }> {
    const { status, headers, body } = await this.#requests.send({
      url: urlOf(request),
      method: request.method as OutgoingRequest['method'],
      headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.toLowerCase() !== 'content-length')),
      ...(request.body === undefined ? {} : { body: Buffer.from(request.body) }),
      timeoutMs: requestMs,
      bytesMax: answerBytesMax,
    })
    return { response: { statusCode: status, headers, body: Readable.from([body]) } }
  }
}

function urlOf({ protocol, hostname, port, path, query = {} }: ClientRequest): string {
  const parts = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => `${encodeURIComponent(name)}${each === null ? '' : `=${encodeURIComponent(each as string)}`}`),
  )
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}${parts.length === 0 ? '' : `?${parts.join('&')}`}`
}
