import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Stack, startStack } from '../support/stack.ts'
import { onPath, Program, run } from '../wire/programs.ts'
import { JsClient } from './mqttjs.ts'

let stack: Stack

beforeAll(async () => {
  stack = await startStack()
}, 180_000)

afterAll(async () => {
  await stack?.stop()
})

const missing = onPath('mosquitto_pub') && onPath('mosquitto_sub') ? undefined : 'mosquitto-clients is not installed'
const withMosquitto = missing === undefined ? test : (title: string, _: () => Promise<void>) => test.skip(`${title} [skipped: ${missing}]`, () => {})
const to = (version: string) => ['-h', '127.0.0.1', '-p', String(stack.ports.mqtt), '-V', version]
const fresh = () => `sample/${randomBytes(4).toString('hex')}`

for (const version of ['mqttv311', 'mqttv5']) {
  withMosquitto(`mosquitto_pub -r is kept for mosquitto_sub, and cleared with -r -n, ${version}`, async () => {
    const topic = fresh()
    const publish = (...args: string[]) => run('mosquitto_pub', [...to(version), '-q', '1', '-t', `${topic}/a`, '-r', ...args])
    const subscribe = () => run('mosquitto_sub', [...to(version), '-t', `${topic}/#`, '-F', '%t %r %p', '-C', '1'])
    expect(await publish('-m', 'kept')).toMatchObject({ code: 0, errors: '' })
    expect((await subscribe()).output).toBe(`${topic}/a 1 kept\n`)
    expect(await publish('-n')).toMatchObject({ code: 0 })
    expect(await publish('-t', `${topic}/b`, '-m', 'the only one')).toMatchObject({ code: 0 })
    expect((await subscribe()).output).toBe(`${topic}/b 1 the only one\n`)
  })

  withMosquitto(`the will of a mosquitto_sub that is killed comes, and is retained when it says so, ${version}`, async () => {
    const topic = fresh()
    const mourner = await JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { protocolVersion: 5 })
    await mourner.client.subscribeAsync(topic, { qos: 1 })
    const will = ['--will-topic', topic, '--will-payload', 'gone', '--will-qos', '1', '--will-retain']
    await mourner.client.publishAsync(`${topic}/x`, 'it is in', { qos: 1, retain: true })
    const mortal = new Program('mosquitto_sub', [...to(version), '-t', `${topic}/x`, ...will])
    await mortal.printed('it is in')
    mortal.kill('SIGKILL')
    await mortal.ended
    await mourner.until('the will', () => mourner.arrived.length > 0)
    expect(mourner.arrived.map(({ payload, packet }) => `${payload} ${packet.qos} ${packet.retain}`)).toEqual(['gone 1 false'])
    const later = await JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { protocolVersion: 5 })
    await later.client.subscribeAsync(topic, { qos: 1 })
    await later.until('the retained will', () => later.arrived.length > 0)
    expect(later.arrived.map(({ payload, packet }) => `${payload} ${packet.retain}`)).toEqual(['gone true'])
    await mourner.client.endAsync()
    await later.client.endAsync()
  })
}

test('MQTT.js gets thousands of retained messages over a small window, each once', async () => {
  const root = fresh()
  const url = `mqtt://127.0.0.1:${stack.ports.mqtt}`
  const count = 3_000
  const publisher = await JsClient.connect(url, { protocolVersion: 5 })
  // MQTT.js does not keep to the server's Receive Maximum by itself.
  const window = 50
  for (let from = 0; from < count; from += window)
    await Promise.all(Array.from({ length: window }, (_, i) => publisher.client.publishAsync(`${root}/${from + i}`, `${from + i}`, { qos: 1, retain: true })))
  for (const sessionExpiryInterval of [0, 300]) {
    const subscriber = await JsClient.connect(url, {
      protocolVersion: 5,
      clientId: `${root}-${sessionExpiryInterval}`,
      properties: { receiveMaximum: 20, sessionExpiryInterval },
    })
    const began = performance.now()
    await subscriber.client.subscribeAsync(`${root}/#`, { qos: 1 })
    await subscriber.until('all of them', () => subscriber.arrived.length >= count, 60_000)
    const ms = performance.now() - began
    process.stderr.write(`${count} retained messages to a ${sessionExpiryInterval > 0 ? 'persistent' : 'passing'} session in ${Math.round(ms)} ms\n`)
    expect(new Set(subscriber.arrived.map(({ topic }) => topic)).size).toBe(count)
    expect(subscriber.arrived).toHaveLength(count)
    await subscriber.client.endAsync()
  }
  await publisher.client.endAsync()
}, 120_000)
