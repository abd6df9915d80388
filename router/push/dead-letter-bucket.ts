/** Dead letters as objects of an S3-compatible store, laid out like the files of a folder (PU-13). */
import { randomUUID } from 'node:crypto'
import { deadLetterPath } from '../../events/dead-letter.ts'
import type { BucketStore } from './bucket-store.ts'
import { joinedLetters, sourcesIn } from './dead-letter-document.ts'
import type { DeadLetterSink } from './dead-letter-writer.ts'

export interface DeadLetterBucketOptions {
  /** Undefined when none is set. */
  readonly store: Pick<BucketStore, 'put' | 'get' | 'list' | 'rename'> | undefined
  /** Buckets that subscriptions may name; `*` for any. */
  readonly allowed: readonly string[]
  readonly bucket: string
  readonly namespace: string
  readonly topic: string
  readonly subscription: string
  readonly now: () => number
}

/** One object for what is given up at a time: a JSON array. */
export function deadLetterBucket({ store, allowed, bucket, namespace, topic, subscription, now }: DeadLetterBucketOptions): DeadLetterSink {
  // Letters wait, and the log says so, until it is set or their time is over.
  const place = (): Pick<BucketStore, 'put' | 'get' | 'list' | 'rename'> => {
    if (store === undefined) throw new Error('DEAD_LETTER_S3_ENDPOINT is not set')
    if (!allowed.includes('*') && !allowed.includes(bucket)) throw new Error(`DEAD_LETTER_S3_BUCKETS does not name the bucket ${bucket}`)
    return store
  }
  return {
    encode: (document) => ({ body: Buffer.from(JSON.stringify(document)), source: undefined }),

    async write(letters) {
      const key = deadLetterPath(namespace, topic, subscription, now(), randomUUID())
      await place().put(bucket, key, joinedLetters(letters))
      return letters.map(() => undefined)
    },

    async *read(sinceMs) {
      const from = place()
      for await (const { key, modifiedAt } of from.list(bucket, `${namespace}/${topic}/${subscription}/`)) {
        if (!key.endsWith('.json') || modifiedAt < sinceMs) continue
        yield { sources: sourcesIn(await from.get(bucket, key)), done: () => from.rename(bucket, key, `${key}.redriven`) }
      }
    },
  }
}
