import { describe, expect, test } from '@jest/globals'
import type { Principal } from '../../../access/principal.ts'
import { Attachment } from '../../../gateway/attachment.ts'
import { insist } from '../../../gateway/insistence.ts'
import { PendingAppends } from '../../../gateway/pending-appends.ts'
import { type SubscribeHost, Subscribing } from '../../../gateway/subscribing.ts'
import { AppendError } from '../../../log/log.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import type { Packet, SubscribePacket, UnsubscribePacket } from '../../../mqtt/packet.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import { seededRandom } from '../../wire/random.ts'
import { attached, subscribed, unsubscribed, withdrawn } from '../model/session-records.ts'
import { clientOf, config, metricsOf } from './client-parts.ts'

const lost = new AppendError('lost', 'unknown')
const refused = new AppendError('refused', 'refused')
const subscribe = (packetId: number, ...filters: string[]): SubscribePacket => ({
  type: 'subscribe',
  packetId,
  filters: filters.map((filter) => ({ filter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 })),
  properties: {},
})
const unsubscribe = (packetId: number, ...filters: string[]): UnsubscribePacket => ({ type: 'unsubscribe', packetId, filters, properties: {} })

/** One connection, whose log answers when the test says so: what it took is folded as a router would. */
function given({ has = [] as string[], max = 100, historySince = undefined as Promise<number | undefined> | undefined } = {}) {
  const fold = new SessionFold(0)
  const answers: string[] = []
  const explained: (string | undefined)[] = []
  const waiting: { readonly record: AnyRecord; readonly done: (error: AppendError | null) => void }[] = []
  const registry = { isCurrent: true, confirmedAt: 0 }
  let offset = 0
  let now = 0
  let isOpen = true
  const write = (record: AnyRecord): void => void fold.apply(offset++, record)
  const append = (record: AnyRecord, done: (error: AppendError | null) => void): void => void waiting.push({ record, done })
  const host: SubscribeHost = {
    config: { ...config, SUBSCRIBE_TIMEOUT: 5_000, SUBSCRIPTIONS_PER_SESSION_MAX: max },
    metrics: metricsOf(),
    access: {
      get isCurrent() {
        return registry.isCurrent
      },
      get confirmedAt() {
        return registry.confirmedAt
      },
      knownSince: 0,
      maySubscribe: () => true,
      mayHold: () => true,
    },
    logIsFull: false,
    now: () => now,
    historySince: () => historySince ?? Promise.resolve(undefined),
    sessions: {
      subscribe: (_, granted, done) => append(subscribed('c', 0, ...granted), done),
      unsubscribe: (_, filters, done) => append(unsubscribed('c', 0, ...filters), done),
      withdraw: (_, due, done) => {
        const again = (answered: typeof done): void => (due().length > 0 ? append(withdrawn('c', 0, ...due()), answered) : answered(null))
        insist(again, () => false, done)
      },
    },
  }
  const owner = {
    get isOpen() {
      return isOpen
    },
    isDoubtful: false,
    principal: {} as Principal,
    onNotInLog: () => {},
    onAppendFailed: () => {
      isOpen = false
    },
    onAppendAnswered: () => {},
    onFilterRefused: () => {},
    send: (packet: Packet) => {
      if (packet.type !== 'suback' && packet.type !== 'unsuback') return
      answers.push(`${packet.packetId}: ${packet.reasonCodes}`)
      explained.push(packet.properties?.reasonString)
    },
  }
  write(attached('c'))
  if (has.length > 0) write(subscribed('c', 0, ...has))
  const appends = new PendingAppends(owner)
  const subscribing = new Subscribing(host, owner, { ...clientOf(5), wantsProblemInformation: true }, new Attachment('c', 0, 1, Buffer.alloc(16)), appends, has)
  return {
    answers,
    explained,
    registry,
    receive: (...packets: (SubscribePacket | UnsubscribePacket)[]) =>
      packets.map((packet) => (packet.type === 'subscribe' ? subscribing.subscribe(packet) : subscribing.unsubscribe(packet))),
    /** Time goes by, and who has waited long enough is told no. */
    until(ms: number): void {
      now = ms
      appends.giveUp(now)
    },
    /** The log answers `count` records in their order, by default all that come up; one of unknown outcome may be stored. */
    log(error: AppendError | null = null, { count = Number.POSITIVE_INFINITY, isStored = error === null } = {}): void {
      for (let left = count; left > 0 && waiting.length > 0; left--) {
        const next = waiting.shift()
        if (isStored && next) write(next.record)
        next?.done(error)
      }
    },
    get waiting() {
      return waiting.map(({ record }) => record.name)
    },
    get session() {
      return [...(fold.sessions.get('c')?.subscriptions.keys() ?? [])]
    },
    get count() {
      return subscribing.count
    },
  }
}

describe('several SUBSCRIBEs for one filter while the log is silent', () => {
  test('one that is granted keeps it, though the one before was refused', () => {
    const c = given()
    c.receive(subscribe(1, 'x'))
    c.until(3_000)
    c.receive(subscribe(2, 'x'))
    c.until(5_000)
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131', '2: 1'], ['x'], 1])
  })

  test.each([
    ['all are refused in time', null, false],
    ['the second is not in the log', refused, false],
    ['nobody knows of the second', lost, true],
  ])('it is taken back when none is granted: %s', (_, error, isStored) => {
    const c = given()
    c.receive(subscribe(1, 'x'))
    c.until(3_000)
    c.receive(subscribe(2, 'x'))
    c.until(error ? 5_000 : 8_000)
    c.log(null, { count: 1 })
    if (error) c.log(error, { count: 1, isStored })
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131', '2: 131'], [], 0])
  })

  test('a first that is granted keeps it, though the second is refused', () => {
    const c = given()
    c.receive(subscribe(1, 'x'), subscribe(2, 'x'))
    c.log(null, { count: 1 })
    c.log(lost, { count: 1 })
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 1', '2: 131'], ['x'], 1])
  })

  test('one whose outcome is unknown leaves the answer to the next', () => {
    const c = given()
    c.receive(subscribe(1, 'x'), subscribe(2, 'x'))
    c.log(lost, { count: 1, isStored: true })
    expect(c.waiting).toEqual(['Subscribed'])
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131', '2: 1'], ['x'], 1])
  })

  test('one that comes after the refusal stands behind what takes it back', () => {
    const c = given()
    c.receive(subscribe(1, 'x'))
    c.until(5_000)
    c.receive(subscribe(2, 'x'))
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131', '2: 1'], ['x'], 1])
  })

  test('what takes it back is tried again, but not once it was asked for again', () => {
    const c = given()
    c.receive(subscribe(1, 'x', 'y'))
    c.until(5_000)
    c.log(null, { count: 1 })
    c.receive(subscribe(2, 'x'))
    c.log(refused, { count: 1 })
    expect(c.waiting).toEqual(['Subscribed', 'Unsubscribed'])
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131,131', '2: 1'], ['x'], 1])
  })

  test('what could not be taken back before is with the one that asked for it again', () => {
    const c = given()
    c.receive(subscribe(1, 'x'))
    c.until(5_000)
    c.log(null, { count: 1 })
    c.receive(subscribe(2, 'x'))
    c.log(refused, { count: 2 })
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131', '2: 131'], [], 0])
  })

  test('what is refused beside it is taken back alone, and SUBSCRIPTIONS_PER_SESSION_MAX counts a filter once', () => {
    const c = given({ max: 2 })
    c.receive(subscribe(1, 'x', 'y'))
    c.until(3_000)
    c.receive(subscribe(2, 'x', 'x'), subscribe(3, 'z'))
    c.until(5_000)
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['3: 151', '1: 131,131', '2: 1,1'], ['x'], 1])
  })
})

describe('UNSUBSCRIBE among them', () => {
  test.each([
    ['the second SUBSCRIBE is granted', 8_000, ['1: 131', '2: 131', '3: 1'], ['x']],
    ['none is', 9_000, ['1: 131', '2: 131', '3: 131'], []],
  ] as const)('SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE: %s', (_, until, answers, session) => {
    const c = given()
    c.receive(subscribe(1, 'x'))
    c.until(2_000)
    c.receive(unsubscribe(2, 'x'))
    c.until(4_000)
    c.receive(subscribe(3, 'x'))
    for (let ms = 5_000; ms <= until; ms += 1_000) c.until(ms)
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([answers, session, session.length])
  })

  test('a SUBSCRIBE behind an UNSUBSCRIBE that was done is taken back: the session had the filter, and has it no more', () => {
    const c = given({ has: ['x'] })
    c.receive(unsubscribe(1, 'x'), subscribe(2, 'x'))
    c.log(null, { count: 1 })
    c.until(5_000)
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 0', '2: 131'], [], 0])
  })

  test('one that was refused and done later is known: SUBSCRIBE in the next outage is taken back', () => {
    const c = given({ has: ['x'] })
    c.receive(unsubscribe(1, 'x'))
    c.until(5_000)
    expect(c.count).toBe(1)
    c.log()
    expect(c.count).toBe(0)
    c.receive(subscribe(2, 'x'))
    c.until(10_000)
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131', '2: 131'], [], 0])
  })

  test('a filter that the session has stays through refused ones of both kinds', () => {
    const c = given({ has: ['x'] })
    c.receive(unsubscribe(1, 'x'), subscribe(2, 'x'))
    c.until(5_000)
    c.log()
    expect([c.answers, c.session, c.count]).toEqual([['1: 131', '2: 131'], ['x'], 1])
  })

  test('one that is not in the log leaves what a SUBSCRIBE before it was granted', () => {
    const c = given()
    c.receive(subscribe(1, 'x'), unsubscribe(2, 'x'))
    c.log(null, { count: 1 })
    expect(c.count).toBe(0)
    c.log(refused)
    expect([c.answers, c.session, c.count]).toEqual([['1: 1', '2: 131'], ['x'], 1])
  })
})

test('what is wrong with user properties that ask for a replay is told in the reason string', () => {
  const c = given()
  c.receive({ ...subscribe(1, 'x'), properties: { userProperties: [['replay-from', 'yesterday']] } }, subscribe(2, 'a#'))
  expect(c.answers).toEqual(['1: 143', '2: 143'])
  expect(c.explained).toEqual([
    expect.stringMatching(/^filter 1 has a replay-from that is neither a time/),
    expect.stringMatching(/^filter 1 (?!has a replay)/),
  ])
})

test('SUBSCRIBE_TIMEOUT: a registry that was current in between gives the next SUBSCRIBE its whole time again', () => {
  const c = given()
  const stale = (since: number): void => {
    Object.assign(c.registry, { isCurrent: false, confirmedAt: since })
  }
  stale(0)
  c.until(2_000)
  expect(c.receive(subscribe(1, 'x'))).toEqual(['wait'])
  c.until(7_000)
  expect(c.receive(subscribe(1, 'x'), subscribe(2, 'x'))).toEqual(['taken', 'taken'])
  expect(c.answers).toEqual(['1: 131', '2: 131'])
  // No SUBSCRIBE came while it was current.
  stale(20_000)
  c.until(22_000)
  expect(c.receive(subscribe(3, 'x'))).toEqual(['wait'])
  c.until(27_000)
  expect(c.receive(subscribe(3, 'x'))).toEqual(['taken'])
})

test('whatever comes in whatever order: who heard yes last has it, who heard only no has it not, and the gateway knows what the session has', () => {
  const random = seededRandom(7)
  const pick = <T>(...from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
  for (let round = 0; round < 600; round++) {
    const c = given()
    let now = 0
    let packetId = 0
    const asked: ('subscribe' | 'unsubscribe')[] = []
    for (let step = 0; step < 12; step++) {
      const what = pick('subscribe', 'unsubscribe', 'time', 'log', 'log', 'lost', 'refused')
      if (what === 'subscribe' || what === 'unsubscribe') {
        asked[++packetId] = what
        c.receive(what === 'subscribe' ? subscribe(packetId, 'x') : unsubscribe(packetId, 'x'))
      } else if (what === 'time') {
        now += pick(1_000, 2_500, 5_000)
        c.until(now)
      } else if (what === 'log') c.log(null, { count: 1 })
      else if (c.waiting[0] === 'Subscribed') c.log(what === 'lost' ? lost : refused, { count: 1, isStored: what === 'lost' && pick(true, false) })
    }
    c.log()
    const heard = c.answers.map((answer) => answer.split(': ')).map(([id, code]) => ({ what: asked[Number(id)], isYes: Number(code) < 0x80 }))
    const last = heard.findLast(({ isYes }) => isYes)
    const hasRefusedEnd = heard.some(({ what, isYes }) => what === 'unsubscribe' && !isYes)
    const story = `round ${round}: ${heard.map(({ what, isYes }) => `${what} ${isYes}`)}`
    expect([story, c.count]).toEqual([story, c.session.length])
    if (!hasRefusedEnd) expect([story, c.session]).toEqual([story, last?.what === 'subscribe' ? ['x'] : []])
  }
})

describe('a SUBSCRIBE that asks for a replay', () => {
  test('hears in the SUBACK’s reason string from when on history is there, once both the log and the beginning are known', async () => {
    let tell = (_: number | undefined): void => {}
    const c = given({ historySince: new Promise((resolve) => (tell = resolve)) })
    c.receive(subscribe(1, '$replay/-P30D/a/#'))
    c.log()
    await Promise.resolve()
    expect(c.answers).toEqual([])
    tell(Date.parse('2026-01-31T12:00:00Z'))
    await new Promise(setImmediate)
    expect([c.answers, c.explained]).toEqual([['1: 1'], ['history begins at 2026-01-31T12:00:00.000Z: of what was published before, something is gone']])
    expect(c.session).toEqual(['$replay/-P30D/a/#'])
  })

  test('hears nothing where nothing is gone, and one without a replay does not wait', async () => {
    const c = given({ historySince: Promise.resolve(undefined) })
    c.receive(subscribe(1, '$replay/-P30D/a/#'), subscribe(2, 'a/#'))
    c.log()
    expect(c.answers).toEqual(['2: 1'])
    await new Promise(setImmediate)
    expect([c.answers, c.explained]).toEqual([
      ['2: 1', '1: 1'],
      [undefined, undefined],
    ])
  })

  test('that the log refuses is refused at once, whatever history there is', () => {
    const c = given({ historySince: new Promise(() => {}) })
    c.receive(subscribe(1, '$replay/-P30D/a/#'))
    c.log(refused)
    expect(c.answers).toEqual(['1: 131'])
  })
})
