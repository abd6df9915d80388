import { describe, expect, test } from '@jest/globals'
import type { Session } from '../../../model/session.ts'
import { type SessionChange, SessionFold } from '../../../model/session-fold.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import type { Attached } from '../../../schemas/session-records.ts'
import { attached, detached, sessionEnded, subscribed, termAnnounced, unsubscribed, withdrawn } from './session-records.ts'

/** Applies the records from offset 0 on; what each changed. */
function fold(...records: AnyRecord[]): { fold: SessionFold; changes: (readonly SessionChange[])[]; session: Session } {
  const sessions = new SessionFold(0)
  const changes = records.map((record, offset) => sessions.apply(offset, record))
  return { fold: sessions, changes, session: sessions.sessions.get('c') as Session }
}

const kinds = (changes: readonly SessionChange[]): string[] => changes.map(({ kind }) => kind)

describe('attach', () => {
  test('a first attach begins a session: its number is the record’s offset, and so is the epoch', () => {
    const { changes, session } = fold(attached('x'), attached('c', { connection: 5, receiveMaximum: 3 }))
    expect(changes[1]).toMatchObject([{ kind: 'attached', isPresent: false, replaced: null, sequence: 1 }])
    expect([session.id, session.epoch, session.attached?.connection, session.attached?.receiveMaximum]).toEqual([1, 1, 5, 3])
  })

  test('an attach after a detach goes on with the session, its subscriptions and its queue', () => {
    const { changes, session } = fold(attached('c'), subscribed('c', 0, 'a/b'), detached('c', 0), attached('c', { at: 3_000 }))
    expect(changes[3]).toMatchObject([{ kind: 'attached', isPresent: true, replaced: null, sequence: 2 }])
    expect([session.id, session.epoch, [...session.subscriptions.keys()], session.detachedAt]).toEqual([0, 3, ['a/b'], null])
  })

  test('a clean start ends the session before and begins another', () => {
    const { changes, session } = fold(attached('c'), subscribed('c', 0, 'a', 'b'), detached('c', 0), attached('c', { cleanStart: true }))
    expect(changes[3]).toMatchObject([
      { kind: 'ended', reason: 'CleanStart', from: null, removed: [{ filter: 'a' }, { filter: 'b' }] },
      { kind: 'attached', isPresent: false },
    ])
    expect([session.id, session.subscriptions.size]).toEqual([3, 0])
  })

  test('a takeover names the connection it takes the session from', () => {
    const { changes, session } = fold(attached('c', { connection: 1 }), attached('c', { connection: 2 }))
    expect(changes[1]).toMatchObject([{ kind: 'attached', isPresent: true, replaced: { connection: 1 }, attachment: { connection: 2 } }])
    expect([session.id, session.epoch]).toEqual([0, 1])
  })

  test('a clean takeover names the connection too', () => {
    const { changes } = fold(attached('c', { connection: 1 }), attached('c', { connection: 2, cleanStart: true }))
    expect(changes[1]).toMatchObject([
      { kind: 'ended', reason: 'CleanStart', from: null },
      { kind: 'attached', isPresent: false, replaced: { connection: 1 } },
    ])
  })

  test('a session that ends with its connection is not gone on with by a takeover [MQTT-3.1.2-6]', () => {
    const { changes, session } = fold(attached('c', { sessionExpiryInterval: 0, cleanStart: true }), subscribed('c', 0, 'a'), attached('c'))
    expect(changes[2]).toMatchObject([
      { kind: 'ended', reason: 'TransientSession', removed: [{ filter: 'a' }] },
      { kind: 'attached', isPresent: false, replaced: { connection: 1 } },
    ])
    expect([session.id, session.subscriptions.size]).toEqual([2, 0])
  })

  test('a session taken over with expiry 0 stays journaled until it ends: it may still be owed messages', () => {
    const { session } = fold(attached('c'), detached('c', 0), attached('c', { sessionExpiryInterval: 0 }))
    expect([session.id, session.expiryInterval, session.isPersistent]).toEqual([0, 0, true])
  })

  test('another identity is refused while the session lives, and changes nothing [SE-04]', () => {
    const { changes, session } = fold(attached('c'), detached('c', 0), attached('c', { authenticationName: 'thief', at: 3_000 }))
    expect(kinds(changes[2] ?? [])).toEqual(['refused'])
    expect([session.authenticationName, session.epoch, session.attached, session.sequence]).toEqual(['device', 0, null, 1])
  })

  test.each([
    ['anonymous', 'customJwt', 'refused'],
    ['anonymous', 'webhook', 'refused'],
    ['anonymous', 'registered', 'refused'],
    ['customJwt', 'anonymous', 'refused'],
    ['registered', 'anonymous', 'refused'],
    ['anonymous', 'anonymous', 'attached'],
    ['registered', 'customJwt', 'attached'],
    ['customJwt', 'registered', 'attached'],
    ['webhook', 'oauth2Jwt', 'attached'],
    ['', 'anonymous', 'attached'],
    ['registered', '', 'attached'],
  ])('SE-04 the session of who was %s is asked for by who is %s under the same name: %s', (ownerKind, askedBy, outcome) => {
    const { changes } = fold(attached('c', { ownerKind }), detached('c', 0), attached('c', { ownerKind: askedBy, at: 3_000 }))
    expect(changes[2]?.at(-1)).toMatchObject({ kind: outcome })
  })

  test('SE-04 a record that tells nothing of the kind leaves it as it was, and a voucher that it names tells enough', () => {
    const { session } = fold(attached('c', { ownerKind: 'registered' }), detached('c', 0), attached('c', { at: 3_000 }))
    expect(session.ownerKind).toBe('registered')
    const { changes } = fold(attached('c', { vouchedBy: 'customJwt' }), detached('c', 0), attached('c', { ownerKind: 'anonymous', at: 3_000 }))
    expect(changes[2]).toMatchObject([{ kind: 'refused' }])
  })

  test('another identity gets a new session once the old one’s time is over', () => {
    const { changes, session } = fold(attached('c'), detached('c', 0, { at: 2_000 }), attached('c', { authenticationName: 'heir', at: 102_000 }))
    expect(changes[2]).toMatchObject([
      { kind: 'ended', reason: 'SessionExpiry' },
      { kind: 'attached', isPresent: false },
    ])
    expect([session.authenticationName, session.id]).toEqual(['heir', 2])
  })
})

describe('expiry by record time', () => {
  test.each([
    [101_999, true],
    [102_000, false],
  ])('detached at 2 s for 100 s, an attach at %d ms finds it present: %s', (at, isPresent) => {
    const { changes } = fold(attached('c'), detached('c', 0, { at: 2_000 }), attached('c', { at }))
    expect(changes[2]?.at(-1)).toMatchObject({ kind: 'attached', isPresent })
  })

  test('interval 4294967295 never expires', () => {
    const { changes } = fold(attached('c', { sessionExpiryInterval: 0xffff_ffff }), detached('c', 0), attached('c', { at: Number.MAX_SAFE_INTEGER }))
    expect(changes[2]).toMatchObject([{ isPresent: true }])
  })
})

describe('detach', () => {
  test('leaves a session that lives on', () => {
    const { changes, session } = fold(attached('c'), detached('c', 0))
    expect(changes[1]).toMatchObject([{ kind: 'detached', from: { connection: 1 }, sequence: 1 }])
    expect([session.attached, session.detachedAt, session.isOver]).toEqual([null, 2_000, false])
  })

  test('with expiry 0 ends the session', () => {
    const { changes, session } = fold(attached('c', { sessionExpiryInterval: 0 }), subscribed('c', 0, 'a'), detached('c', 0))
    expect(changes[2]).toMatchObject([{ kind: 'detached' }, { kind: 'ended', reason: 'TransientSession', from: null, removed: [{ filter: 'a' }], at: 2_000 }])
    expect(session.isOver).toBe(true)
  })

  test('can change the expiry', () => {
    const { session } = fold(attached('c'), detached('c', 0, { sessionExpiryInterval: 7 }))
    expect(session.expiresAt).toBe(9_000)
  })

  test('that sets the expiry to 0 ends the session', () => {
    const { changes } = fold(attached('c'), detached('c', 0, { sessionExpiryInterval: 0 }))
    expect(kinds(changes[1] ?? [])).toEqual(['detached', 'ended'])
  })

  test('a second one changes nothing', () => {
    expect(fold(attached('c'), detached('c', 0), detached('c', 0)).changes[2]).toEqual([])
  })
})

describe('what an older connection says is ignored', () => {
  const taken = [attached('c', { connection: 1 }), attached('c', { connection: 2 })]
  test.each([
    ['a detach', detached('c', 0)],
    ['a subscription', subscribed('c', 0, 'a')],
    ['an unsubscription', unsubscribed('c', 0, 'a')],
    ['an end', sessionEnded('c', 0, 0, { reason: 'SessionOverflow' })],
  ])('%s', (_what, record) => {
    const { changes, session } = fold(...taken, record)
    expect(changes[2]).toEqual([])
    expect([session.attached?.connection, session.subscriptions.size, session.isOver]).toEqual([2, 0, false])
  })
})

describe('subscriptions', () => {
  test('a filter subscribed again replaces the one before', () => {
    const { session } = fold(attached('c'), subscribed('c', 0, 'a'), subscribed('c', 0, { ...s('a'), qos: 0, replay: null }))
    expect([...session.subscriptions.values()]).toMatchObject([{ filter: 'a', qos: 0 }])
  })

  test('unsubscribing tells only what was there', () => {
    const { changes } = fold(attached('c'), subscribed('c', 0, 'a'), unsubscribed('c', 0, 'a', 'b'))
    expect(changes[2]).toMatchObject([{ kind: 'unsubscribed', removed: [{ filter: 'a' }] }])
  })

  test('one that the client was told it did not get is taken back', () => {
    const { changes, session } = fold(attached('c'), subscribed('c', 0, 'a', 'b'), withdrawn('c', 0, 'a'))
    expect(changes[2]).toMatchObject([{ kind: 'unsubscribed', removed: [{ filter: 'a' }] }])
    expect([...session.subscriptions.keys()]).toEqual(['b'])
  })

  test('that goes for it when the client has another connection by then, but not for what that one asked for', () => {
    const { changes, session } = fold(attached('c'), subscribed('c', 0, 'a', 'b'), attached('c'), subscribed('c', 2, 'b'), withdrawn('c', 0, 'a', 'b'))
    expect(changes[4]).toMatchObject([{ kind: 'unsubscribed', removed: [{ filter: 'a' }] }])
    expect([...session.subscriptions.keys()]).toEqual(['b'])
  })

  test.each([
    ['it never came to be', [attached('c'), withdrawn('c', 0, 'a')]],
    ['the session is over', [attached('c', { sessionExpiryInterval: 0 }), subscribed('c', 0, 'a'), detached('c', 0), withdrawn('c', 0, 'a')]],
    ['the session was begun anew', [attached('c'), subscribed('c', 0, 'a'), attached('c', { cleanStart: true }), withdrawn('c', 0, 'a')]],
  ])('taking back changes nothing when %s', (_what, records) => {
    expect(fold(...records).changes.at(-1)).toEqual([])
  })

  test('the newest registry position that let it in or granted something is kept', () => {
    const { session } = fold(attached('c', { registryPosition: 9 }), subscribed('c', 0, 'a'))
    expect(session.judgedAt).toBe(9)
  })
})

describe('SessionEnded', () => {
  test('ends the session it names', () => {
    const { changes, session } = fold(attached('c'), detached('c', 0), sessionEnded('c', 0, 0))
    expect(changes[2]).toMatchObject([{ kind: 'ended', reason: 'SessionExpiry', from: null, at: 200_000, sequence: 1 }])
    expect([session.isOver, session.endedAt]).toEqual([true, 200_000])
  })

  test('an expiry does not end a connected session, an overflow does', () => {
    expect(fold(attached('c'), sessionEnded('c', 0, 0)).changes[1]).toEqual([])
    expect(fold(attached('c'), sessionEnded('c', 0, 0, { reason: 'SessionOverflow' })).changes[1]).toMatchObject([
      { kind: 'ended', reason: 'SessionOverflow', from: { connection: 1 } },
    ])
  })

  test('of another begin of the client’s session is ignored', () => {
    const { changes } = fold(attached('c'), attached('c', { cleanStart: true }), detached('c', 1), sessionEnded('c', 0, 1))
    expect(changes[3]).toEqual([])
  })

  test('of a router that had lost the shard is ignored', () => {
    const { changes } = fold(attached('c'), detached('c', 0), termAnnounced(0, 5), sessionEnded('c', 0, 0, { term: 4 }), sessionEnded('c', 0, 0, { term: 5 }))
    expect([changes[3]?.length, changes[4]?.length]).toEqual([0, 1])
  })

  test('a term announced for another shard says nothing here', () => {
    expect(fold(attached('c'), detached('c', 0), termAnnounced(1, 5), sessionEnded('c', 0, 0, { term: 4 })).changes[3]).toHaveLength(1)
  })
})

describe('sequence numbers [LC-05]', () => {
  test('go on through ends and new begins', () => {
    const { changes } = fold(
      attached('c', { sessionExpiryInterval: 0 }),
      detached('c', 0),
      attached('c', { cleanStart: true }),
      attached('c', { connection: 2 }),
      sessionEnded('c', 2, 3, { reason: 'SessionOverflow' }),
      attached('c'),
    )
    expect(changes.flat().map((change) => [change.kind, 'sequence' in change && change.sequence])).toEqual([
      ['attached', 1],
      ['detached', 1],
      ['ended', 1],
      ['attached', 2],
      ['attached', 3],
      ['ended', 3],
      ['attached', 4],
    ])
  })

  test('are forgotten a week after the end, by record time', () => {
    const week = 7 * 24 * 3600 * 1000
    const over = [attached('c', { sessionExpiryInterval: 0 }), detached('c', 0, { at: 2_000 })]
    expect(fold(...over, attached('x', { at: 2_000 + week })).fold.sessions.has('c')).toBe(true)
    expect(fold(...over, attached('x', { at: 2_001 + week })).fold.sessions.has('c')).toBe(false)
  })

  test('of at most 50,000 sessions that are over are kept, the newest', () => {
    const sessions = new SessionFold(0)
    for (let i = 0; i < 50_010; i++) {
      sessions.apply(2 * i, attached(`c${i}`, { sessionExpiryInterval: 0 }))
      sessions.apply(2 * i + 1, detached(`c${i}`, 2 * i))
    }
    sessions.apply(200_000, attached('live'))
    expect([sessions.sessions.size, sessions.sessions.has('c9'), sessions.sessions.has('c10')]).toEqual([50_001, false, true])
  })
})

test('records before the position change nothing', () => {
  const { fold: sessions } = fold(attached('c'), detached('c', 0))
  expect(sessions.apply(1, attached('c', { cleanStart: true }))).toEqual([])
  expect([sessions.position, sessions.sessions.get('c')?.id]).toEqual([2, 0])
})

function s(filter: string) {
  return { filter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: null }
}

test('new credentials on the open connection give the session their attributes; those of a connection that is over do not', () => {
  const sessions = new SessionFold(0)
  sessions.apply(10, attached('a', { vouchedBy: 'customJwt', attributes: { type: 'vehicle' } }))
  const renewed = (epoch: number, attributes: Attached['attributes']): AnyRecord => ({
    name: 'Reauthenticated',
    value: { clientId: 'a', epoch, at: 2_000, registryPosition: 7, attributes },
  })
  expect(sessions.apply(11, renewed(9, { type: 'late' }))).toEqual([])
  const session = sessions.sessions.get('a')
  expect(sessions.apply(12, renewed(10, { type: 'bicycle' }))).toEqual([{ kind: 'reauthenticated', session }])
  expect(session).toMatchObject({ attributes: { type: 'bicycle' }, vouchedBy: 'customJwt', judgedAt: 7 })
})
