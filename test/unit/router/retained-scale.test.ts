/** A million retained topics (LOGGERHEAD_TEST_LONG=1; 50,000 else) in one shard: what a lookup, a walk and a subscription cost. */
import { beforeAll, describe, expect, test } from '@jest/globals'
import type { Appender } from '../../../log/log.ts'
import { RetainedIndex } from '../../../model/retained-index.ts'
import type { Session, Subscription } from '../../../model/session.ts'
import type { Gateway } from '../../../router/gateway.ts'
import type { Gateways } from '../../../router/gateways.ts'
import { RetainedRequests } from '../../../router/retained-requests.ts'
import type { RetainedMessage } from '../../../router/retained-store.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import { subscription } from '../model/session-records.ts'
import { attachment, sessionOf } from './sessions.ts'

const count = process.env.LOGGERHEAD_TEST_LONG === '1' ? 1_000_000 : 50_000
const sites = 100
const topicOf = (i: number): string => `site/${i % sites}/device/${i}/state`
const index = new RetainedIndex<RetainedMessage>()

const say = (text: string): void => void process.stderr.write(`${text}\n`)
const since = (began: number): string => `${(performance.now() - began).toFixed(1)} ms`

beforeAll(() => {
  const value = encodeMessage(loggedMessage({ retain: true, payload: Buffer.alloc(100) }))
  const heap = process.memoryUsage().heapUsed
  const began = performance.now()
  for (let i = 0; i < count; i++) index.set(topicOf(i), { topic: topicOf(i), offset: i, value, qos: 1, expiresAt: 0, retainedOffset: i })
  say(`${count} retained topics indexed in ${since(began)}, ${Math.round((process.memoryUsage().heapUsed - heap) / count)} bytes of heap each`)
}, 120_000)

describe('the index', () => {
  /** Steps until the walk is over, and how many it found. */
  function walk(filter: string): { readonly steps: number; readonly found: number } {
    const budget = { steps: Number.MAX_SAFE_INTEGER }
    const began = performance.now()
    const each = index.walk(filter)
    let found = 0
    while (!each.isDone) if (each.next(budget) !== undefined) found++
    const steps = Number.MAX_SAFE_INTEGER - budget.steps
    say(`${filter}: ${found} of ${count} in ${steps} steps and ${since(began)}`)
    return { steps, found }
  }

  test('an exact topic is found in as many steps as it has levels, twice over', () => {
    const { steps, found } = walk(topicOf(count - 1))
    expect(found).toBe(1)
    expect(steps).toBeLessThanOrEqual(2 * 5 + 1)
    expect(index.get(topicOf(count - 1))?.offset).toBe(count - 1)
  })

  test('a filter costs what it matches, not what there is', () => {
    const { steps, found } = walk('site/7/#')
    expect(found).toBe(count / sites)
    expect(steps).toBeLessThan(found * 5 + 20)
    expect(walk('site/7/device/+/config')).toMatchObject({ found: 0 })
    expect(walk('nobody/#').steps).toBeLessThan(5)
  })

  test('a filter for everything finds everything', () => {
    expect(walk('#').found).toBe(count)
    expect(walk('site/+/device/+/state').found).toBe(count)
  })
})

describe('a subscription to everything', () => {
  const everything: Subscription = { ...subscription('#'), retainedAt: 0, retainedSince: 1 }

  function subscribed(expiryInterval: number, attached = attachment()): Session {
    const session = sessionOf('c', { expiryInterval, attached })
    session.subscriptions.set('#', everything)
    return session
  }

  function requests(over: { readonly gateway?: Partial<Gateway>; readonly append?: Appender['append'] }): RetainedRequests {
    return new RetainedRequests({
      shard: 0,
      term: 1,
      index,
      gateways: { get: () => over.gateway } as unknown as Gateways,
      appender: { append: over.append } as Appender,
      inboxTopic: 'inbox',
      limits: { queueMessagesMax: () => Number.POSITIVE_INFINITY, gatewayBytesMax: 1_000_000 },
      now: () => 2,
      onRefused: (error) => {
        throw error
      },
      onSent: () => {},
    })
  }

  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

  test('comes to a connection page by page, the next one only when the last is taken, and none is left out', async () => {
    const seen = new Set<number>()
    let pages = 0
    let taken: (() => void) | undefined
    let longest = 0
    let largest = 0
    let repeated = 0
    const gateway: Partial<Gateway> = {
      retainedBytes: 0,
      retained: ({ messages }, done) => {
        if (taken) throw new Error('a page before the last was taken')
        largest = Math.max(largest, messages.length)
        for (const { offset } of messages) {
          if (seen.has(offset)) repeated++
          seen.add(offset)
        }
        pages++
        taken = done
      },
    }
    const began = performance.now()
    const served = requests({ gateway })
    served.add(subscribed(0), 0, [everything], Number.POSITIVE_INFINITY)
    while (served.openCount > 0) {
      const from = performance.now()
      await turn()
      longest = Math.max(longest, performance.now() - from)
      // A client that does not take its page is sent no other.
      if (pages === 3) {
        for (let i = 0; i < 100; i++) await turn()
        expect(pages).toBe(3)
      }
      const done = taken
      taken = undefined
      done?.()
    }
    say(`${count} retained messages in ${pages} pages and ${since(began)}; the longest turn took ${longest.toFixed(1)} ms`)
    expect([seen.size, repeated]).toEqual([count, 0])
    expect(largest).toBeLessThanOrEqual(64)
  }, 120_000)

  test('is noted for a persistent session record by record, the next one only when Kafka has the last', async () => {
    const seen = new Set<number>()
    let records = 0
    let appended: (() => void) | undefined
    const served = requests({
      append: ({ value }, done) => {
        expect(appended).toBeUndefined()
        expect((value as Buffer).length).toBeLessThan(300 * 1024)
        const record = decodeRecord(value as Buffer)
        if (record.name !== 'IndexedRetained') throw new Error(record.name)
        for (const { offset } of record.value.entries) seen.add(offset)
        records++
        appended = () => done(null, records)
      },
    })
    const began = performance.now()
    served.add(subscribed(100, null as never), 0, [everything], Number.POSITIVE_INFINITY)
    while (served.openCount > 0) {
      await turn()
      const done = appended
      appended = undefined
      done?.()
    }
    say(`${count} retained messages noted in ${records} records and ${since(began)}`)
    expect(seen.size).toBe(count)
  }, 120_000)
})
