import { expect, test } from '@jest/globals'
import { Ledger, type LedgerChange, renewableMs } from '../../../../router/subscriptions/ledger.ts'
import { count } from '../../../support/available.ts'
import fc from '../../../support/fast-check.ts'

/**
 * A subscription on one partition, and what its receivers know: everything that was answered. A crash keeps any part of the
 * records behind the last answer, as Kafka may have taken them.
 */
class History {
  readonly #log: LedgerChange[] = []
  /** Records that are known to be in the log: something behind them was answered. */
  #answered = 0
  ledger = new Ledger([0])
  now = 0
  #locks = 0
  readonly locked = new Map<number, { lock: string; until: number }>()
  readonly acknowledged = new Set<number>()
  /** Deliveries that were answered, by offset. */
  readonly deliveries = new Map<number, number>()

  #append(changes: readonly (LedgerChange | undefined)[]): void {
    for (const change of changes) if (change) this.#log.push(change)
  }

  receive(end: number, lockMs: number, isAnswered: boolean): void {
    const due = this.ledger.due(this.now)[0]
    const offset = due?.offset ?? this.ledger.position(0)
    if (!due && offset >= end) return
    // As when it is read again after a crash: what stands as unsettled is not new.
    if (!due && this.ledger.isPast({ partition: 0, offset })) {
      this.ledger.pass(0, offset + 1)
      return
    }
    const lock = String(this.#locks++)
    if (!due) this.ledger.pass(0, offset + 1)
    this.#append([this.ledger.lock({ partition: 0, offset }, 0, lock, this.now, this.now + lockMs), ...this.ledger.positions()])
    if (!isAnswered) return
    this.#answered = this.#log.length
    // Given out by nobody else while the lock is good, and never after it was acknowledged.
    expect(this.acknowledged.has(offset)).toBe(false)
    const before = this.locked.get(offset)
    expect(before === undefined || before.until <= this.now).toBe(true)
    const times = (this.deliveries.get(offset) ?? 0) + 1
    this.deliveries.set(offset, times)
    expect(this.ledger.get({ partition: 0, offset })?.deliveryCount).toBeGreaterThanOrEqual(times)
    this.locked.set(offset, { lock, until: this.now + lockMs })
  }

  settle(kind: 'acknowledge' | 'release', which: number): void {
    const [offset, held] = [...this.locked][which % Math.max(1, this.locked.size)] ?? []
    if (offset === undefined || held === undefined) return
    const event = this.ledger.get({ partition: 0, offset })
    // A lock that was answered and is not over is honoured, whatever crashed meanwhile; and none twice.
    expect(this.ledger.isLockedBy(event, held.lock, this.now)).toBe(held.until > this.now)
    this.locked.delete(offset)
    if (held.until <= this.now || event === undefined) return
    this.#append([kind === 'acknowledge' ? this.ledger.settle(event) : this.ledger.release(event, this.now)])
    this.#answered = this.#log.length
    expect(this.ledger.isLockedBy(this.ledger.get(event), held.lock, this.now)).toBe(false)
    if (kind === 'acknowledge') this.acknowledged.add(offset)
  }

  crash(kept: number): void {
    this.#log.length = Math.min(this.#log.length, this.#answered + kept)
    this.ledger = new Ledger([0])
    for (const change of this.#log) this.ledger.apply(change)
  }
}

type Step =
  | { readonly do: 'receive'; readonly lockMs: number; readonly isAnswered: boolean }
  | { readonly do: 'acknowledge' | 'release'; readonly which: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'publish' }
  | { readonly do: 'crash'; readonly kept: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('receive' as const), lockMs: fc.integer({ min: 1, max: 20 }), isAnswered: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('acknowledge' as const, 'release' as const), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 2, arbitrary: fc.constant({ do: 'publish' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), kept: fc.nat(4) }) },
)

test('through crashes between any two records no event is lost, counts never fall behind what was delivered, and no lock is honoured twice', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const history = new History()
      let end = 1
      for (const each of steps) {
        switch (each.do) {
          case 'receive':
            history.receive(end, each.lockMs, each.isAnswered)
            break
          case 'wait':
            history.now += each.ms
            break
          case 'publish':
            end++
            break
          case 'crash':
            history.crash(each.kept)
            break
          default:
            history.settle(each.do, each.which)
        }
      }
      // In the end whoever goes on receiving and acknowledging has had everything.
      history.crash(0)
      for (let i = 0; i < 6 * end + steps.length; i++) {
        history.now += 100
        history.receive(end, 10, true)
        history.settle('acknowledge', 0)
        for (const held of [...history.locked.keys()]) history.settle('acknowledge', [...history.locked.keys()].indexOf(held))
      }
      expect(history.acknowledged.size).toBe(end)
      expect(history.ledger.size).toBe(0)
    }),
    { numRuns: count(300, 20_000) },
  )
})

test('the position in the log waits for events that somebody holds without a record', () => {
  const ledger = new Ledger([0])
  ledger.hold({ partition: 0, offset: 0 }, 0)
  ledger.hold({ partition: 0, offset: 1 }, 0)
  ledger.pass(0, 2)
  expect(ledger.settle({ partition: 0, offset: 1 })).toBeUndefined()
  expect(ledger.positions()).toEqual([])
  const failed = ledger.failed({ partition: 0, offset: 0 }, { publishedAt: 0, deliveryCount: 1, until: 5, lastAttemptAt: 1, lastResult: 'Busy' })
  expect(failed).toMatchObject({ kind: 'unsettled', event: { deliveryCount: 1, until: 5 } })
  expect(ledger.positions()).toEqual([{ kind: 'position', partition: 0, position: 2 }])
  expect(ledger.positions()).toEqual([])
  expect(ledger.settle({ partition: 0, offset: 0 })).toEqual({ kind: 'settled', place: { partition: 0, offset: 0 } })
})

test('SUBSCRIPTION_UNSETTLED_MAX: there may be hundreds of thousands that somebody holds without a record', () => {
  const ledger = new Ledger([0])
  const held = 200_000
  for (let offset = 0; offset < held; offset++) ledger.hold({ partition: 0, offset }, 0)
  ledger.pass(0, held)
  expect(ledger.positions()).toEqual([])
  ledger.settle({ partition: 0, offset: 0 })
  expect(ledger.positions()).toEqual([{ kind: 'position', partition: 0, position: 1 }])
  expect(ledger.state()).toEqual([{ kind: 'position', partition: 0, position: 1 }])
  expect(ledger.rewind(0, held - 1)).toEqual([{ kind: 'position', partition: 0, position: 1 }])
})

test('another ledger made of its state owes the same, and gives out again what somebody held without a record', () => {
  const ledger = new Ledger([0])
  for (const offset of [0, 1, 2, 3]) {
    ledger.hold({ partition: 0, offset }, 0)
    ledger.pass(0, offset + 1)
  }
  // Delivered as if it had come now: noted, and not tried yet.
  ledger.failed({ partition: 0, offset: 0 }, { publishedAt: 0, deliveryCount: 0, until: 5, lastAttemptAt: null, lastResult: null })
  ledger.failed({ partition: 0, offset: 2 }, { publishedAt: 0, deliveryCount: 1, until: 5, lastAttemptAt: 1, lastResult: 'Busy' })
  ledger.settle({ partition: 0, offset: 1 })
  const other = new Ledger([0])
  for (const change of ledger.state()) other.apply(change)
  expect(other.all().map(({ offset, deliveryCount }) => [offset, deliveryCount])).toEqual([
    [0, 0],
    [2, 1],
  ])
  expect(other.position(0)).toBe(3)
})

test('a lock is renewed for an hour from when the event was received', () => {
  const ledger = new Ledger([0])
  ledger.lock({ partition: 0, offset: 0 }, 0, 'a', 0, 10)
  const event = () => ledger.get({ partition: 0, offset: 0 })!
  expect(ledger.renew(event(), renewableMs, 60_000)).toMatchObject({ event: { until: renewableMs + 60_000, lockedSince: 0 } })
  expect(ledger.renew(event(), renewableMs + 1, 60_000)).toBeUndefined()
})

test('partitions that the topic got later begin at their beginning', () => {
  const ledger = new Ledger([7])
  expect([ledger.position(0), ledger.position(1)]).toEqual([7, 0])
})
