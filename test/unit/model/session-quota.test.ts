import { describe, expect, test } from '@jest/globals'
import type { Session } from '../../../model/session.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import { decideQuota, SessionsByName, sessionsMaxOf, sessionsPerName, unlimitedSessions } from '../../../model/session-quota.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import { attached, detached, sessionEnded } from './session-records.ts'

/** Folds the records of shard 0 and shard 1. */
function given(...shards: (readonly AnyRecord[])[]) {
  const folds = [0, 1].map((shard) => new SessionFold(shard))
  const names = new SessionsByName(folds)
  names.of('nobody')
  shards.forEach((records, shard) => {
    records.forEach((record, offset) => {
      for (const change of (folds[shard] as SessionFold).apply(offset, record)) names.changed(change)
    })
  })
  const session = (clientId: string) => folds.map((fold) => fold.sessions.get(clientId)).find((each) => each) as Session
  return { folds, names, session, decide: (clientId: string, now: number) => decideQuota(session(clientId), names.of('device'), now) }
}

describe('what is in force [MS-01]', () => {
  test.each([
    ['nothing said', undefined, unlimitedSessions, unlimitedSessions],
    ['the preset open', { limits: { preset: 'open' } }, unlimitedSessions, unlimitedSessions],
    ['the preset eventgrid', { limits: { preset: 'eventgrid' } }, unlimitedSessions, 1],
    ['a value over the preset', { limits: { preset: 'eventgrid' }, maximumClientSessionsPerAuthenticationName: 7 }, unlimitedSessions, 7],
    ['a deployment with less', { maximumClientSessionsPerAuthenticationName: 7 }, 5, 5],
    ['a deployment with less and nothing said', undefined, 5, 5],
  ])('%s', (_, namespace, setting, expected) => {
    expect(sessionsPerName(namespace, setting)).toBe(expected)
  })

  test.each([
    ['anybody, where nothing is limited', 'registered', false, unlimitedSessions, 0],
    ['who gives a user name', 'registered', true, 5, 5],
    ['who gives none: one session [MS-02]', 'registered', false, 5, 1],
    ['a stranger with a user name', 'anonymous', true, 5, 5],
    ['strangers without one, who share no name', 'anonymous', false, 5, 0],
    ['the deployment’s own canary', 'internal', true, 1, 0],
  ])('for %s', (_, kind, hasUserName, perName, expected) => {
    expect(sessionsMaxOf({ kind, hasUserName }, perName)).toBe(expected)
  })
})

describe('a session that begins', () => {
  test('is refused beside as many as its name may have, in whatever shards, connected or not [SE-06]', () => {
    const { decide } = given([attached('a'), detached('a', 0), attached('c', { at: 5_000, sessionsMax: 2 })], [attached('b')])
    expect(decide('c', 5_000)).toBe('refused')
  })

  test('is let in once one has expired, been ended, or was of another name', () => {
    const begins = attached('c', { at: 5_000, sessionsMax: 1 })
    expect(given([attached('a', { sessionExpiryInterval: 2 }), detached('a', 0), begins]).decide('c', 5_000)).toBe('admitted')
    expect(given([attached('a'), sessionEnded('a', 0, 0, { reason: 'Deleted' }), begins]).decide('c', 5_000)).toBe('admitted')
    expect(given([attached('a', { authenticationName: 'other' }), begins]).decide('c', 5_000)).toBe('admitted')
  })

  test('takes the place of the session of its own client id', () => {
    const { decide } = given([attached('c', { sessionsMax: 1 }), attached('c', { at: 5_000, cleanStart: true, sessionsMax: 1 })])
    expect(decide('c', 5_000)).toBe('admitted')
  })

  test('counts sessions of the name in another case too [CL-02]', () => {
    const { names } = given([attached('a', { authenticationName: 'Device' })], [attached('b')])
    expect([...names.of('dEVICE')].map(({ clientId }) => clientId)).toEqual(['a', 'b'])
  })

  test('of several that begin together as many stay as may, and all owners agree on which', () => {
    const begins = (clientId: string, at: number) => attached(clientId, { at, sessionsMax: 2 })
    const { decide } = given([begins('d', 10_001), begins('a', 10_000)], [begins('c', 10_000), begins('b', 10_000)])
    expect(['a', 'b', 'c', 'd'].map((clientId) => decide(clientId, 10_002))).toEqual(['undecided', 'undecided', 'refused', 'refused'])
    // Once the others had time to be decided about, whoever is still there counts.
    expect(decide('a', 14_000)).toBe('refused')
  })
})

test('an index that is asked for late knows what was there before', () => {
  const folds = [new SessionFold(0)]
  folds[0]?.apply(0, attached('a'))
  folds[0]?.apply(1, attached('b'))
  folds[0]?.apply(2, sessionEnded('b', 1, 1, { reason: 'Deleted' }))
  expect([...new SessionsByName(folds).of('device')].map(({ clientId }) => clientId)).toEqual(['a'])
})

test('a CONNECT that was not accepted leaves no will behind [MQTT-3.1.2-7]', () => {
  const will = {
    topic: 't',
    payload: Buffer.alloc(0),
    qos: 1,
    retain: false,
    delaySeconds: 0,
    messageExpiryInterval: null,
    payloadFormatIndicator: null,
    contentType: null,
    responseTopic: null,
    correlationData: null,
    userProperties: [],
  }
  const wills = (reason: string) => given([attached('c', { will }), sessionEnded('c', 0, 0, { reason })]).session('c').wills.length
  expect([wills('QuotaExceeded'), wills('SessionOverflow')]).toEqual([0, 1])
})
