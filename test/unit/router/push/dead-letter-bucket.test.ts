import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { readOutgoingPolicy } from '../../../../outgoing/outgoing-settings.ts'
import { readBucketConfig } from '../../../../router/push/bucket-settings.ts'
import { BucketStore } from '../../../../router/push/bucket-store.ts'
import { type DeadLetterBucketOptions, deadLetterBucket } from '../../../../router/push/dead-letter-bucket.ts'
import type { DeadLetterSink } from '../../../../router/push/dead-letter-writer.ts'
import { pushSettings } from '../../../../router/push/push-settings.ts'
import { readSettings } from '../../../../settings/setting.ts'

/** Against a server that others wrote. */
let server: FauxqsServer
let endpoint: string
const stores: BucketStore[] = []

beforeAll(async () => {
  server = await startFauxqs({ port: 0, logger: false })
  endpoint = `http://127.0.0.1:${server.port}`
  server.createBucket('dead')
})
afterAll(async () => {
  for (const store of stores) store.close()
  await server.stop()
})

function storeFor(hosts = '127.0.0.1', at = endpoint): BucketStore {
  const policy = readOutgoingPolicy(
    { OUTGOING_HOSTS: hosts, OUTGOING_ADDRESSES: hosts === '' ? '' : '127.0.0.0/8' },
    hosts === '' ? 'production' : 'development',
  )
  const store = new BucketStore({ endpoint: at, region: 'us-east-1', credentials: { accessKeyId: 'id', secretAccessKey: 'geheim' }, policy, ca: undefined })
  stores.push(store)
  return store
}

const sinkFor = (given: Partial<DeadLetterBucketOptions> = {}): DeadLetterSink =>
  deadLetterBucket({
    store: storeFor(),
    allowed: ['dead'],
    bucket: 'dead',
    namespace: 'default',
    topic: 'alerts',
    subscription: 'pager',
    now: () => Date.parse('2026-09-03T02:59:59Z'),
    ...given,
  })
const write = (sink: DeadLetterSink, documents: readonly object[]) => sink.write(documents.map((document) => sink.encode(document)))

async function read(sink: DeadLetterSink, sinceMs = 0, settle = false): Promise<object[]> {
  const found: object[] = []
  for await (const { sources, done } of sink.read(sinceMs)) {
    found.push(...sources)
    if (settle) await done()
  }
  return found
}

describe('dead letters in a bucket', () => {
  test('PU-13: are one object for what is given up at a time, below namespace, topic, subscription and hour', async () => {
    await write(sinkFor({ subscription: 'laid-out' }), [{ event: { id: '1' } }, { event: { id: '2' } }])
    const store = storeFor()
    const keys: string[] = []
    for await (const { key } of store.list('dead', 'default/alerts/laid-out/')) keys.push(key)
    expect(keys).toEqual([expect.stringMatching(/^default\/alerts\/laid-out\/2026\/9\/3\/2\/[0-9a-f-]{36}\.json$/)])
    expect(JSON.parse(await store.get('dead', keys[0] ?? ''))).toEqual([{ event: { id: '1' } }, { event: { id: '2' } }])
  })

  test('are read again, each object until its letters are no more dead, and not those of other subscriptions', async () => {
    const sink = sinkFor()
    await write(sinkFor({ subscription: 'pager-2' }), [{ source: { partition: 9, offset: 9 } }])
    await write(sink, [{ source: { partition: 1, offset: 2 } }, { source: 'not ours' }, {}])
    expect(await read(sink, Date.now() + 60_000)).toEqual([])
    expect(await read(sink)).toEqual([{ partition: 1, offset: 2 }])
    expect(await read(sink, 0, true)).toEqual([{ partition: 1, offset: 2 }])
    expect(await read(sink)).toEqual([])
  })

  test('wait while there is no store, its operator does not name the bucket, or the store does not have it', async () => {
    await expect(write(sinkFor({ store: undefined }), [{}])).rejects.toThrow('DEAD_LETTER_S3_ENDPOINT is not set')
    await expect(write(sinkFor({ bucket: 'other' }), [{}])).rejects.toThrow('DEAD_LETTER_S3_BUCKETS does not name the bucket other')
    await expect(write(sinkFor({ bucket: 'other', allowed: ['*'] }), [{}])).rejects.toThrow(/bucket does not exist/)
  })

  test('go nowhere that OUTGOING_HOSTS and OUTGOING_ADDRESSES do not allow, and no error tells the secret', async () => {
    const refused = write(sinkFor({ store: storeFor('') }), [{}])
    await expect(refused).rejects.toThrow(/is not asked/)
    await expect(refused).rejects.not.toThrow(/geheim/)
    await expect(write(sinkFor({ store: storeFor('elsewhere.example') }), [{}])).rejects.toThrow(/is not asked/)
  })
})

describe('settings of the store', () => {
  const config = (environment: Readonly<Record<string, string>>) => readBucketConfig(readSettings(pushSettings, environment))
  const whole = { DEAD_LETTER_S3_ENDPOINT: 'https://s3.example', DEAD_LETTER_S3_ACCESS_KEY_ID: 'id', DEAD_LETTER_S3_SECRET_KEY_FILE: import.meta.filename }

  test('without DEAD_LETTER_S3_ENDPOINT there is none; with it, buckets are those that are named', () => {
    expect(config({})).toBeUndefined()
    expect(config(whole)).toMatchObject({ endpoint: 'https://s3.example', region: 'us-east-1', buckets: [] })
    expect(config({ ...whole, DEAD_LETTER_S3_BUCKETS: 'a, b' })?.buckets).toEqual(['a', 'b'])
  })

  test.each([
    [{ DEAD_LETTER_S3_ENDPOINT: 'ftp://s3.example' }, 'DEAD_LETTER_S3_ENDPOINT'],
    [{ DEAD_LETTER_S3_ENDPOINT: 'https://id:geheim@s3.example' }, 'DEAD_LETTER_S3_ENDPOINT'],
    [{ DEAD_LETTER_S3_ENDPOINT: 'https://s3.example/bucket' }, 'DEAD_LETTER_S3_ENDPOINT'],
    [{ DEAD_LETTER_S3_ACCESS_KEY_ID: '' }, 'DEAD_LETTER_S3_ACCESS_KEY_ID'],
    [{ DEAD_LETTER_S3_SECRET_KEY_FILE: '' }, 'DEAD_LETTER_S3_SECRET_KEY_FILE'],
    [{ DEAD_LETTER_S3_SECRET_KEY_FILE: '/nowhere' }, 'DEAD_LETTER_S3_SECRET_KEY_FILE'],
  ])('%j stops the start, and tells no secret', (environment, variable) => {
    const read = () => config({ ...whole, ...environment })
    expect(read).toThrow(variable)
    expect(read).not.toThrow('geheim')
  })
})
