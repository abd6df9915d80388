/** Whose a session is, how many there may be, how much it may be owed: Event Grid's rows over real certificates, sockets and Kafka, with two routers. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import kafkajs from 'kafkajs'
import { type Stack, startStack, until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { Wire } from '../wire/wire.ts'
import { type KeyPair, OpensslAuthority } from './certificates.ts'
import { JsClient } from './mqttjs.ts'
import { registerAuthority, registerClient, remove, tlsOptions } from './registered.ts'

const installed = OpensslAuthority.isInstalled ? describe : describe.skip
const title = (text: string) => (OpensslAuthority.isInstalled ? text : `${text} [skipped: openssl is not installed]`)

let stack: Stack
let authority: OpensslAuthority
const wires: Wire[] = []
const fresh = () => `s${randomBytes(5).toString('hex')}`

beforeAll(async () => {
  stack = await startStack({ environment: { ROUTERS: '2' } })
  if (!OpensslAuthority.isInstalled) return
  authority = await OpensslAuthority.make('Session Test CA')
  await registerAuthority(stack, 'session-test-ca', authority)
}, 180_000)

afterAll(async () => {
  for (const each of wires) each.destroy()
  authority?.remove()
  await stack?.stop()
})

/** Sets the namespace's settings. */
async function narrow(properties: object): Promise<void> {
  const { status, body } = await stack.api('PUT', '/namespaces/default', properties)
  if (status < 200 || status > 299) throw new Error(`PUT of the namespace: ${status} ${JSON.stringify(body)}`)
  await stack.settled()
}

interface Options {
  readonly version?: mqtt.Version
  readonly username?: string
  readonly clean?: boolean
}

/** A persistent session over plain TCP, under a user name or none. */
async function connect(
  clientId: string,
  { version = 5, username, clean = false }: Options = {},
): Promise<{ readonly wire: Wire; readonly connack: mqtt.Connack }> {
  const wire = await Wire.open({ host: '127.0.0.1', port: stack.ports.mqtt }, version)
  wires.push(wire)
  const properties: mqtt.Properties = version === 5 ? [[mqtt.Property.sessionExpiryInterval, 300]] : []
  wire.send(mqtt.connect({ version, clientId, clean, properties, ...(username !== undefined && { username }) }))
  return { wire, connack: await wire.expect('connack') }
}

async function leave(wire: Wire): Promise<void> {
  wire.send(mqtt.disconnect(wire.version))
  await wire.closed()
}

describe('whose a session is', () => {
  test('the same identity takes it over, and the older connection is told 0x8E [SE-03]', async () => {
    const id = fresh()
    const first = await connect(id, { username: 'me' })
    const second = await connect(id, { username: 'me' })
    expect([second.connack.code, second.connack.sessionPresent]).toEqual([0, true])
    expect(await first.wire.closed()).toMatchObject([{ type: 'disconnect', code: 0x8e }])
  })

  test('another identity is refused with 0x87, in 3.1.1 with 5, connected or not, and the session goes on [SE-04]', async () => {
    const id = fresh()
    const mine = await connect(id, { username: 'me' })
    expect((await connect(id, { username: 'you' })).connack.code).toBe(0x87)
    expect((await connect(id, { username: 'you', version: 4 })).connack.code).toBe(5)
    await leave(mine.wire)
    expect((await connect(id, { username: 'you', clean: true })).connack.code).toBe(0x87)
    expect((await connect(id, { username: 'me' })).connack).toMatchObject({ code: 0, sessionPresent: true })
  })
})

installed(title('registered clients'), () => {
  const attempt = (name: string, pair: KeyPair, more: object) =>
    JsClient.attempt(`mqtts://localhost:${stack.ports.mqtts}`, {
      ...tlsOptions(stack, pair),
      username: name,
      protocolVersion: 5,
      clean: false,
      properties: { sessionExpiryInterval: 300 },
      ...more,
    })

  test('the session of a client that is deleted blocks its client id for others, until it is over [SE-05]', async () => {
    const id = fresh()
    const [old, other] = [`${id}-old`, `${id}-other`]
    const pair = await registerClient(stack, authority, old)
    const another = await registerClient(stack, authority, other)
    expect(await attempt(old, pair, { clientId: id })).toBe('done')
    await remove(stack, `clients/${old}`)
    expect(await attempt(other, another, { clientId: id })).toBe(0x87)
    await remove(stack, `sessions/${id}`)
    expect(await attempt(other, another, { clientId: id })).toBe('done')
  })

  test('a name has as many sessions as the namespace allows, offline ones too; without a user name one [MS-01] [MS-02] [SE-06]', async () => {
    const name = fresh()
    const pair = await registerClient(stack, authority, name)
    await narrow({
      topicSpacesConfiguration: {
        maximumClientSessionsPerAuthenticationName: 2,
        clientAuthentication: { alternativeAuthenticationNameSources: ['ClientCertificateSubject'] },
      },
    })
    const noUserName = { username: undefined }
    // The gateway hears of the change through the log: the second without a user name is refused then.
    expect(await attempt(name, pair, { clientId: `${name}-0`, ...noUserName })).toBe('done')
    const refused = await until('the number is in force', 60_000, async () => {
      const outcome = await attempt(name, pair, { clientId: `${name}-1`, clean: true, properties: { sessionExpiryInterval: 0 }, ...noUserName })
      return outcome !== 'done' && outcome
    })
    expect(refused).toBe(0x97)
    expect(await attempt(name, pair, { clientId: `${name}-1` })).toBe('done')
    expect(await attempt(name, pair, { clientId: `${name}-2` })).toBe(0x97)
    expect(await attempt(name, pair, { clientId: `${name}-2`, protocolVersion: 4, properties: undefined })).toBe(3)
    // Those that are there go on, and one that ends makes room.
    expect(await attempt(name, pair, { clientId: `${name}-0` })).toBe('done')
    await remove(stack, `sessions/${name}-0`)
    expect(await attempt(name, pair, { clientId: `${name}-2` })).toBe('done')
    await narrow({})
  })
})

test('an offline queue above the namespace’s limit ends its session, or loses its oldest where the namespace says so [SE-07]', async () => {
  const { wire: publisher } = await connect(fresh(), { clean: true })
  const queued = async (limits: object): Promise<{ readonly present: boolean; readonly queue: unknown; readonly texts: readonly string[] }> => {
    await narrow({ limits })
    const id = fresh()
    const first = await connect(id)
    first.wire.send(mqtt.subscribe(5, 1, [[`${id}/t`, 1]]))
    await first.wire.find('suback')
    await leave(first.wire)
    // The last one is told by its size.
    for (let i = 1; i <= 6; i++) {
      const payload = i < 6 ? `${i}` : `6 ${'x'.repeat(500)}`
      publisher.send(mqtt.publish({ version: 5, topic: `${id}/t`, payload, qos: 1, id: i }))
      await publisher.find('puback')
    }
    const settled = await until('the queue is within its limit', 60_000, async () => {
      const { status, body } = await stack.api('GET', `/namespaces/default/sessions/${id}`)
      if (status === 404) return { queue: undefined }
      const { queue } = (body as { properties: { queue?: { messages: number; bytes: number } } }).properties
      return queue?.messages === 3 && queue.bytes > 500 && { queue }
    })
    const { wire, connack } = await connect(id)
    const texts: string[] = []
    for (let i = 0; i < (settled.queue ? 3 : 0); i++) texts.push((await wire.find('publish')).payload.toString().slice(0, 1))
    await leave(wire)
    return { present: connack.sessionPresent, queue: settled.queue, texts }
  }
  expect(await queued({ preset: 'open', sessionQueueMessages: 3 })).toEqual({ present: false, queue: undefined, texts: [] })
  const kept = await queued({ preset: 'open', sessionQueueMessages: 3, sessionQueueFull: 'dropOldest' })
  expect(kept).toMatchObject({ present: true, queue: { messages: 3, inFlight: 0, oldestAt: expect.any(String) }, texts: ['4', '5', '6'] })
  await narrow({})
})

test('a subscription that Kafka refuses is answered with 0x83, in 3.1.1 with 0x80, and the connection goes on', async () => {
  const kafka = new kafkajs.Kafka({ clientId: 'operator', brokers: [stack.brokers], logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  await admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: `${stack.prefix}.default.sessions`,
        configEntries: [{ name: 'max.message.bytes', value: '700' }],
      },
    ],
  })
  await admin.disconnect()
  await until('the broker goes by it', 60_000, async () => {
    const { wire } = await connect(fresh(), { clean: true })
    wire.send(mqtt.subscribe(5, 1, [[`long/${'x'.repeat(800)}`, 1]]))
    return (await wire.find('suback')).codes[0] === 0x83
  })
  for (const [version, code] of [
    [5, 0x83],
    [4, 0x80],
  ] as const) {
    const { wire } = await connect(fresh(), { version, clean: true })
    wire.send(mqtt.subscribe(version, 1, [[`long/${'x'.repeat(800)}`, 1]]))
    expect(await wire.find('suback')).toMatchObject({ id: 1, codes: [code] })
    wire.send(mqtt.subscribe(version, 2, [['short', 1]]))
    expect(await wire.find('suback')).toMatchObject({ id: 2, codes: [1] })
  }
})
