import { describe, expect, test } from '@jest/globals'
import { ClientSession } from '../../../router/client-session.ts'
import { attachment, owe, sessionOf } from './sessions.ts'

/** A client with these offsets owed; everything its window allows is sent. */
function given(owed: number, receiveMaximum = 10, sentBefore = 0) {
  const session = sessionOf('c', { attached: attachment(1, 7, receiveMaximum) })
  owe(session, ...Array.from({ length: owed }, (_, i) => i))
  const client = new ClientSession(session, sentBefore)
  return { session, client, send: () => sendAll(client) }
}

/** Numbers sent, those with DUP marked. */
function sendAll(client: ClientSession): string[] {
  const sent: string[] = []
  for (let number = client.next(); number !== undefined; number = client.next()) sent.push(`${number}${client.sent(number) ? ' dup' : ''}`)
  return sent
}

describe('the window', () => {
  test('lets Receive Maximum out and one more for each that is done', () => {
    const { client, send } = given(5, 2)
    expect(send()).toEqual(['0', '1'])
    expect(send()).toEqual([])
    expect([client.finish(1), send(), client.finish(1)]).toEqual([true, ['2'], false])
  })

  test('never spans as many numbers as there are packet ids', () => {
    const { client, send } = given(70_000, 65_535)
    expect(send()).toHaveLength(65_000)
    for (let number = 1; number < 65_000; number++) client.finish(number)
    expect(send()).toEqual([])
    client.finish(0)
    expect(send()).toHaveLength(5_000)
  })

  test('skips what is done already', () => {
    const { session, send } = given(4)
    session.queue.finish(1)
    expect(send()).toEqual(['0', '2', '3'])
  })

  test('stands still while a payload is being read, and without a connection', () => {
    const { client, session } = given(2)
    client.isReading = true
    expect(client.next()).toBeUndefined()
    client.isReading = false
    session.attached = null
    expect(client.next()).toBeUndefined()
  })
})

test('what may have been sent on an earlier connection carries DUP, the rest does not [MQTT-3.3.1-1]', () => {
  const { send, session } = given(4, 10, 2)
  expect(send()).toEqual(['0 dup', '1 dup', '2', '3'])
  expect(session.queue.sent).toBe(4)
})

test('PUBREL follows in the order of the PUBRECs, whatever that of the messages was [MQTT-4.6.0-4]', () => {
  const { client, send } = given(3)
  send()
  for (const number of [2, 0, 2, 1]) client.received(number)
  expect([client.takeUnreleased(), client.hasUnreleased]).toEqual([[2, 0, 1], false])
})

describe('resume', () => {
  test('goes on behind what another router sent: what is not listed is done, what is listed fills the window', () => {
    const { client, session, send } = given(8, 3)
    expect(client.resume(5, [1, 3])).toEqual([0, 2, 4])
    expect([session.queue.cursor, session.queue.sent, [...client.inFlight.keys()]]).toEqual([1, 5, [1, 3]])
    expect(send()).toEqual(['5'])
    expect([client.finish(3), send()]).toEqual([true, ['6']])
  })

  test('sends again, in order, what was lost with the link', () => {
    const { client, send } = given(6)
    expect(send()).toHaveLength(6)
    expect(client.resume(3, [1, 2])).toEqual([0])
    expect(send()).toEqual(['3', '4', '5'])
  })

  test('a gateway that was sent nothing on this connection gets all of it', () => {
    const { client, send } = given(3)
    send()
    expect([client.resume(0, []), send()]).toEqual([[], ['0', '1', '2']])
    client.restart()
    expect(send()).toEqual(['0', '1', '2'])
  })

  test('what is done, but with the client still, keeps its place in the window [MQTT-3.3.4-9]', () => {
    const { client, session, send } = given(8, 3)
    for (const number of [0, 1, 4]) session.queue.finish(number)
    expect(client.resume(5, [1, 3, 4])).toEqual([2])
    expect([[...client.inFlight.keys()].sort(), send()]).toEqual([[1, 3, 4], []])
    // Nobody was waiting for it any more.
    expect([client.finish(1), send()]).toEqual([false, ['5']])
    // At QoS 2 the client waits for PUBREL, whether its PUBREC comes now or had come before.
    expect([client.received(4), client.hasUnreleased, client.takeLate(), client.takeLate(), send()]).toEqual([false, false, [4], [], []])
    expect([client.finish(4), send(), client.received(4), client.takeLate()]).toEqual([false, ['6'], false, []])
    client.resume(7, [1, 3, 5], [1, 3])
    expect([client.takeLate(), client.takeUnreleased()]).toEqual([[1], [3]])
  })

  test('numbers that the fold has only later are settled then', () => {
    const { client, session, send } = given(2)
    expect(client.resume(5, [1, 4])).toEqual([0])
    expect(send()).toEqual([])
    // Acknowledged before the fold knows it.
    expect(client.finish(4)).toBe(false)
    owe(session, 2, 3)
    expect(client.settle()).toEqual([2, 3])
    owe(session, 4, 5)
    expect(client.settle()).toEqual([4])
    expect([send(), [...client.inFlight.keys()], session.queue.cursor]).toEqual([['5'], [1, 5], 1])
    expect(client.settle()).toEqual([])
  })
})
