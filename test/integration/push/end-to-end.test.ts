/** Push delivery in a whole stack: from a namespace topic to a webhook in another process, and to the dead letters. */
import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { connectAsync, type MqttClient } from 'mqtt'
import { collapse } from '../../../events/lifecycle-collapse.ts'
import { lifecycleTypes } from '../../../events/lifecycle-event.ts'
import { findFreePorts } from '../../../stack/ports.ts'
import { EventPublisher } from '../../support/event-publisher.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'
import { type ReceivedRequest, WebhookReceiver } from '../../support/webhook-receiver.ts'
import { readRecords } from '../../wire/kafka-log.ts'

const project = join(import.meta.dirname, '../../..')

let stack: Stack
let receiver: WebhookReceiver
let publisher: EventPublisher
let folder: string
let store: FauxqsServer
let bucket: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loggerhead-dead-letters-'))
  const secretKeyFile = join(folder, 's3-secret')
  await writeFile(secretKeyFile, 's3cret-of-the-store')
  store = await startFauxqs({ port: 0, logger: false })
  store.createBucket('dead')
  bucket = `http://127.0.0.1:${store.port}/dead`
  receiver = await WebhookReceiver.start()
  stack = await startStack({
    environment: {
      PUSH_RETRY_DELAYS: '20ms',
      PUSH_RESTS: '10ms,10ms,10ms',
      DEAD_LETTER_FOLDER: folder,
      DEAD_LETTER_S3_ENDPOINT: `http://127.0.0.1:${store.port}`,
      DEAD_LETTER_S3_BUCKETS: 'dead',
      DEAD_LETTER_S3_ACCESS_KEY_ID: 'id',
      DEAD_LETTER_S3_SECRET_KEY_FILE: secretKeyFile,
      OUTGOING_HOSTS: '127.0.0.1',
    },
  })
  publisher = new EventPublisher(stack.brokers, `${stack.prefix}.default.topic.doors`)
  expect((await stack.api('PUT', '/namespaces/default/topics/doors', {})).status).toBe(201)
}, 120_000)
afterAll(async () => {
  await publisher?.close()
  await stack?.stop()
  await receiver?.stop()
  await store?.stop()
  await rm(folder, { recursive: true })
})

const at = (name: string): string => `/namespaces/default/topics/doors/eventSubscriptions/${name}`
const push = (path: string, more: object = {}, policy: object = {}) => ({
  deliveryConfiguration: {
    deliveryMode: 'Push',
    push: { ...policy, destination: { endpointType: 'WebHook', properties: { endpointUrl: `${receiver.url}${path}`, ...more } } },
  },
})
const put = (name: string, body: object) => stack.api('PUT', at(name), body)
const remove = (name: string) => stack.api('DELETE', at(name))
const publish = (...ids: readonly string[]) => publisher.publish(ids.map((id) => ({ id, key: 'door', data: { id } })))
const postsTo = async (path: string): Promise<readonly ReceivedRequest[]> =>
  (await receiver.received()).filter((request) => request.method === 'POST' && request.path === path)
const idsAt = async (path: string): Promise<readonly unknown[]> => (await postsTo(path)).flatMap(({ events }) => events.map(({ id }) => id))
const arrived = (path: string, ...ids: readonly string[]) =>
  until(`${ids.join(', ')} at ${path}`, 60_000, async () => {
    const there = await idsAt(path)
    return ids.every((id) => there.includes(id))
  })

test('PU-02: a webhook that does not agree gets no subscription', async () => {
  const answer = await put('refused', push('/none?allowed-origin=none'))
  expect(answer).toMatchObject({ status: 400, body: { detail: expect.stringContaining('has not agreed to events') } })
  expect(await put('refused', push('/none?allowed-origin=none&code=s3cret'))).not.toMatchObject({ body: { detail: expect.stringContaining('s3cret') } })
})

test('PU-02, PU-09: events published from then on reach the webhook, with its secret header, which nothing tells of', async () => {
  const secret = { name: 'Authorization', type: 'Static', properties: { value: 'Bearer s3cret-s3cret', isSecret: true } }
  const site = { name: 'X-Door', type: 'Dynamic', properties: { sourceField: 'data.id' } }
  expect((await put('taken', push('/taken', { deliveryAttributeMappings: [secret, site] }))).status).toBe(201)
  await publish('a1', 'a2')
  await arrived('/taken', 'a1', 'a2')
  // Two requests at a time: either may be there first.
  expect((await postsTo('/taken')).find(({ events }) => events[0]?.id === 'a1')).toMatchObject({
    headers: { authorization: 'Bearer s3cret-s3cret', 'x-door': 'a1', 'webhook-request-origin': 'loggerhead.local' },
    events: [{ id: 'a1', source: '/test', type: 'test.event', subject: 'door', data: { id: 'a1' } }],
  })
  expect(JSON.stringify(await stack.api('GET', at('taken')))).not.toContain('s3cret')
  const logs = join(stack.folder, 'logs')
  for (const file of await readdir(logs)) expect(await readFile(join(logs, file), 'utf8')).not.toContain('s3cret')
  await remove('taken')
})

test('a subscription that is paused sends nothing until it is resumed', async () => {
  await put('paused', push('/paused'))
  expect((await stack.api('POST', `${at('paused')}:pause`)).status).toBe(200)
  // What sends to this one, made later, knows of the pause.
  await put('witness', push('/witness'))
  await publish('b0')
  await arrived('/witness', 'b0')
  await publish('b1')
  await arrived('/witness', 'b1')
  await publish('b2')
  await arrived('/witness', 'b2')
  expect(await idsAt('/paused')).not.toEqual(expect.arrayContaining([expect.stringMatching(/b[12]/)]))
  expect((await stack.api('POST', `${at('paused')}:resume`)).status).toBe(200)
  await arrived('/paused', 'b0', 'b1', 'b2')
  // At least once.
  expect([...new Set(await idsAt('/paused'))].filter((id) => id !== 'b0').sort()).toEqual(['b1', 'b2'])
  await remove('witness')
  await remove('paused')
})

test('rewind: a subscription goes back to a time or an offset, and sends what came since again', async () => {
  await put('rewound', push('/rewound', { deliveryOrder: 'ByKey' }))
  const since = new Date().toISOString()
  await publish('c1', 'c2')
  await arrived('/rewound', 'c1', 'c2')
  expect((await stack.api('POST', `${at('rewound')}:rewind`, { time: since })).status).toBe(200)
  const again = async (): Promise<readonly unknown[]> => (await idsAt('/rewound')).slice(2)
  await until('c2 again', 60_000, async () => (await again()).includes('c2'))
  expect((await idsAt('/rewound')).slice(0, 2)).toEqual(['c1', 'c2'])
  // At least once, whoever owns the shard: how often without a change of owner, test/integration/push/pushers.test.ts counts.
  expect([...new Set(await again())]).toEqual(['c1', 'c2'])
  await remove('rewound')
})

test('PU-12, PU-13, PU-14: what is refused becomes a dead letter in the folder, without secrets, and is redriven', async () => {
  const deadLetters = { deadLetterDestination: { endpointType: 'Folder', properties: { folderName: 'ops' } } }
  const secret = { name: 'X-Key', type: 'Static', properties: { value: 's3cret', isSecret: true } }
  const plain = { name: 'X-Site', type: 'Static', properties: { value: 'north' } }
  const policy = { deadLetterDestinationWithResourceIdentity: deadLetters }
  await put('dead', push('/status/400', { deliveryAttributeMappings: [secret, plain] }, policy))
  await publish('d1')
  const files = await until('a dead letter', 60_000, async () => {
    const found = await readdir(folder, { recursive: true, withFileTypes: true })
    const named = found.filter((entry) => entry.isFile() && entry.name.endsWith('.json'))
    return named.length > 0 && named
  })
  const [file] = files
  const now = new Date()
  expect(join(file!.parentPath, '')).toContain(join(folder, 'ops/default/doors/dead', String(now.getUTCFullYear())))
  const [letter] = JSON.parse(await readFile(join(file!.parentPath, file!.name), 'utf8'))
  expect(letter).toMatchObject({
    event: { id: 'd1', data: { id: 'd1' } },
    customDeliveryProperties: { 'x-site': 'north' },
    deadletterProperties: { deadletterreason: 'Undeliverable due to client error', deliveryattempts: 1, deliveryresult: 'BadRequest' },
  })
  expect(JSON.stringify(letter)).not.toContain('s3cret')
  await put('dead', push('/mended', {}, policy))
  // Else what is redriven could still go where it was refused.
  await stack.settled()
  expect(await stack.api('POST', `${at('dead')}:redrive`)).toMatchObject({ status: 200, body: { redriven: 1 } })
  await arrived('/mended', 'd1')
  await remove('dead')
})

/** Names of the objects of the bucket, as the store lists them. */
async function objects(): Promise<readonly string[]> {
  const listed = await (await fetch(`${bucket}?list-type=2`)).text()
  return [...listed.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, name]) => name as string)
}

test('PU-12, PU-13, PU-14: what is refused becomes an object of a bucket, without secrets, and is redriven once', async () => {
  const policy = { deadLetterDestinationWithResourceIdentity: { deadLetterDestination: { endpointType: 'S3Bucket', properties: { bucketName: 'dead' } } } }
  const secret = { name: 'X-Key', type: 'Static', properties: { value: 's3cret', isSecret: true } }
  expect((await put('boxed', push('/status/403', { deliveryAttributeMappings: [secret] }, policy))).status).toBe(201)
  await publish('e1')
  const [name] = await until('a dead letter in the bucket', 60_000, async () => {
    const found = await objects()
    return found.length > 0 && found
  })
  expect(name).toMatch(/^default\/doors\/boxed\/\d{4}\/\d+\/\d+\/\d+\/[0-9a-f-]{36}\.json$/)
  const text = await (await fetch(`${bucket}/${name}`)).text()
  expect(JSON.parse(text)).toEqual([
    {
      event: expect.objectContaining({ id: 'e1', data: { id: 'e1' } }),
      deadletterProperties: expect.objectContaining({
        deadletterreason: 'Undeliverable due to client error',
        deliveryattempts: 1,
        deliveryresult: 'Forbidden',
      }),
      source: { partition: expect.any(Number), offset: expect.any(Number) },
    },
  ])
  expect(text).not.toContain('s3cret')
  await put('boxed', push('/unboxed', {}, policy))
  await stack.settled()
  expect(await stack.api('POST', `${at('boxed')}:redrive`)).toMatchObject({ status: 200, body: { redriven: 1, gone: 0 } })
  await arrived('/unboxed', 'e1')
  expect(await objects()).toEqual([`${name}.redriven`])
  expect(await stack.api('POST', `${at('boxed')}:redrive`)).toMatchObject({ status: 200, body: { redriven: 0, gone: 0 } })
  await remove('boxed')
})

const connect = (clientId: string): Promise<MqttClient> =>
  connectAsync(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { clientId, reconnectPeriod: 0, protocolVersion: 5 })
const clientAt = (name: string): string => `/namespaces/default/clients/${name}`
const putClient = async (name: string, attributes: object): Promise<void> => {
  expect((await stack.api('PUT', clientAt(name), { attributes, clientCertificateAuthentication: {} })).status).toBeLessThan(300)
}

interface Lifecycle {
  readonly id: string
  readonly type: string
  readonly subject: string
  readonly data: Readonly<Record<string, unknown>>
}

test('LC-01 to LC-05, LC-07, PU-01: a webhook on $lifecycle gets the four kinds as Event Grid writes them, quick changes of a client as one', async () => {
  const subscription = '/namespaces/default/topics/$lifecycle/eventSubscriptions/clients'
  expect((await stack.api('PUT', subscription, push('/lifecycle', { deliveryOrder: 'ByKey' }))).status).toBe(201)

  await putClient('lamp', { floor: 1 })
  await putClient('lamp', { floor: 2 })
  await putClient('lamp', { floor: 3 })
  await putClient('brief', {})
  expect((await stack.api('DELETE', clientAt('brief'))).status).toBe(204)
  await (await connect('leaves')).endAsync()
  const lost = await connect('vanishes')
  lost.stream.destroy()
  const first = await connect('taken-over')
  const gone = new Promise<void>((resolve) => first.once('close', () => resolve()))
  const second = await connect('taken-over')
  await gone
  await second.endAsync()

  // At least once: one that came again is the same event.
  const arrivedNow = async (): Promise<readonly Lifecycle[]> => {
    const all = (await postsTo('/lifecycle')).flatMap(({ events }) => events as unknown as readonly Lifecycle[])
    return [...new Map(all.map((event) => [event.id, event])).values()]
  }
  const ofSession = (all: readonly Lifecycle[], clientId: string) =>
    all
      .filter(({ data }) => data.clientSessionName === clientId)
      .map(({ type, data }) => [type.split('.').at(-1), data.sequenceNumber, data.disconnectionReason])
  const ofClient = (all: readonly Lifecycle[], name: string) => all.filter(({ subject }) => subject === `clients/${name}`)
  const all = await until('all of it at the webhook', 60_000, async () => {
    const found = await arrivedNow()
    const areSessionsThere = ['leaves', 'vanishes', 'taken-over'].every((id) => ofSession(found, id).length === (id === 'taken-over' ? 4 : 2))
    const isLampThere = ofClient(found, 'lamp').some(({ data }) => JSON.stringify(data.attributes) === '{"floor":3}')
    // That it was made is told apart when the machine was slow, and before.
    const areClientsThere = isLampThere && ofClient(found, 'brief').some(({ type }) => type.endsWith('MQTTClientDeleted'))
    return areSessionsThere && areClientsThere ? found : undefined
  })
  const connected = 'MQTTClientSessionConnected'
  const disconnected = 'MQTTClientSessionDisconnected'
  expect(ofSession(all, 'leaves')).toEqual([
    [connected, 1, undefined],
    [disconnected, 1, 'ClientInitiatedDisconnect'],
  ])
  expect(ofSession(all, 'vanishes')).toEqual([
    [connected, 1, undefined],
    [disconnected, 1, 'ConnectionLost'],
  ])
  expect(ofSession(all, 'taken-over')).toEqual([
    [connected, 1, undefined],
    [disconnected, 1, 'SessionTakenOver'],
    [connected, 2, undefined],
    [disconnected, 2, 'ClientInitiatedDisconnect'],
  ])
  const session = all.find(({ data }) => data.disconnectionReason === 'ConnectionLost')
  expect(session).toEqual({
    specversion: '1.0',
    id: expect.any(String),
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    type: 'Microsoft.EventGrid.MQTTClientSessionDisconnected',
    source: '/namespaces/default',
    subject: expect.stringMatching(/^clients\/[^/]+\/sessions\/vanishes$/),
    data: {
      namespaceName: 'default',
      clientAuthenticationName: expect.any(String),
      clientSessionName: 'vanishes',
      sequenceNumber: 1,
      disconnectionReason: 'ConnectionLost',
    },
  })
  // How many there are hangs on how quick the changes were: the fold that the unit tests hold says it of their times in the log.
  const inLog = (await readRecords(stack.brokers, `${stack.prefix}.default.lifecycle`, 'LifecycleEvent')).map(({ value }) => ({ event: value }))
  for (const name of ['lamp', 'brief']) {
    const told = collapse(
      inLog.filter(({ event }) => event.subject === `clients/${name}` && lifecycleTypes.has(event.type)),
      Number.POSITIVE_INFINITY,
    ).told
    expect([name, ofClient(all, name).map(({ type }) => type)]).toEqual([name, told.map(({ event }) => event.type)])
  }
  expect(ofClient(all, 'lamp').at(-1)?.data).toEqual({
    createdOn: expect.any(String),
    updatedOn: expect.any(String),
    namespaceName: 'default',
    clientName: 'lamp',
    clientAuthenticationName: 'lamp',
    state: 'Enabled',
    attributes: { floor: 3 },
  })
  expect(ofClient(all, 'brief').at(-1)).toMatchObject({
    type: 'Microsoft.EventGrid.MQTTClientDeleted',
    data: { namespaceName: 'default', clientName: 'brief', clientAuthenticationName: 'brief' },
  })
  expect((await stack.api('DELETE', subscription)).status).toBe(204)
}, 120_000)

/** The commands of a page, to be run in a folder where `.data` is the stack's. */
async function commandsOf(page: string): Promise<{ readonly commands: readonly string[]; readonly folder: string }> {
  const text = readFileSync(join(project, 'docs', page), 'utf8').replaceAll('http://127.0.0.1:8080', stack.url)
  const commands = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, command]) => command as string)
  const folder = await mkdtemp(join(tmpdir(), 'loggerhead-page-'))
  await symlink(stack.folder, join(folder, '.data'))
  await symlink(join(project, 'docs'), join(folder, 'docs'))
  return { commands, folder }
}

/** Runs what does not end by itself until it has said enough. */
function inBackground(script: string, cwd: string, environment: NodeJS.ProcessEnv = {}): { said(): string; end(): void } {
  let said = ''
  // What the shell starts is ended with it.
  const child = spawn('bash', ['-euc', script], { cwd, env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (said += text))
  return { said: () => said, end: () => void (child.pid !== undefined && child.exitCode === null && process.kill(-child.pid, 'SIGKILL')) }
}
const npx = `npx() { shift; exec '${process.execPath}' '${join(project, 'cli/loggerhead.mjs')}' "$@"; }`

test('the commands of docs/push.md work as they stand', async () => {
  const { commands, folder: here } = await commandsOf('push.md')
  expect(commands).toHaveLength(3)
  const [receive = '', ...others] = commands
  const [port = 0] = await findFreePorts(1)
  const webhook = inBackground(receive, here, { PORT: String(port) })
  try {
    await until('the webhook listens', 60_000, () => webhook.said().includes('listening'))
    const run = (script: string) => promisify(execFile)('bash', ['-euc', script.replaceAll('127.0.0.1:9000', `127.0.0.1:${port}`)], { cwd: here })
    const [make = '', act = ''] = others
    expect((await run(make)).stdout).toContain('"deliveryMode":"Push"')
    const alerts = new EventPublisher(stack.brokers, `${stack.prefix}.default.topic.alerts`)
    await alerts.publish([{ id: 'a', key: 'front', data: { smoke: true } }])
    await alerts.close()
    await until('the receiver prints the event', 60_000, () => webhook.said().includes('test.event front {"smoke":true}'))
    const { stdout } = await run(`${make}\n${act}`)
    expect(stdout).toContain('"redriven":0')
  } finally {
    webhook.end()
    await rm(here, { recursive: true })
  }
})

test('the commands of docs/lifecycle-events.md work as they stand', async () => {
  const { commands, folder: here } = await commandsOf('lifecycle-events.md')
  expect(commands).toHaveLength(2)
  const [tail = '', receive = ''] = commands
  const tailing = inBackground(`${npx}\n${tail}`, here, { LOGGERHEAD_PREFIX: stack.prefix, KAFKA_BROKERS: stack.brokers })
  const receiving = inBackground(receive, here)
  try {
    // Whoever begins to listen hears of what happens after that.
    await until('both have heard that somebody left', 90_000, async () => {
      await (await connect('passes-by')).endAsync()
      return tailing.said().includes('passes-by') && /"value":\[.*passes-by/.test(receiving.said())
    })
  } finally {
    tailing.end()
    receiving.end()
    await rm(here, { recursive: true })
  }
}, 120_000)
