/** Push delivery in a whole stack: from a namespace topic to a webhook in another process, and to the dead letters. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { EventPublisher } from '../../support/event-publisher.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'
import { type ReceivedRequest, WebhookReceiver } from '../../support/webhook-receiver.ts'

let stack: Stack
let receiver: WebhookReceiver
let publisher: EventPublisher
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loggerhead-dead-letters-'))
  receiver = await WebhookReceiver.start()
  stack = await startStack({ environment: { PUSH_RETRY_DELAYS: '20ms', PUSH_RESTS: '10ms,10ms,10ms', DEAD_LETTER_FOLDER: folder } })
  publisher = new EventPublisher(stack.brokers, `${stack.prefix}.default.topic.doors`)
  expect((await stack.api('PUT', '/namespaces/default/topics/doors', {})).status).toBe(201)
}, 120_000)
afterAll(async () => {
  await publisher?.close()
  await stack?.stop()
  await receiver?.stop()
  await rm(folder, { recursive: true })
}, 60_000)

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
  until(`${ids.join(', ')} at ${path}`, 30_000, async () => {
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
  expect((await postsTo('/taken'))[0]).toMatchObject({
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
  expect((await idsAt('/paused')).filter((id) => id !== 'b0').sort()).toEqual(['b1', 'b2'])
  await remove('witness')
  await remove('paused')
})

test('rewind: a subscription goes back to a time or an offset, and sends what came since again', async () => {
  await put('rewound', push('/rewound'))
  const since = new Date().toISOString()
  await publish('c1', 'c2')
  await arrived('/rewound', 'c1', 'c2')
  expect((await stack.api('POST', `${at('rewound')}:rewind`, { time: since })).status).toBe(200)
  await until('c1 and c2 again', 30_000, async () => (await idsAt('/rewound')).length === 4)
  expect(await idsAt('/rewound')).toEqual(['c1', 'c2', 'c1', 'c2'])
  await remove('rewound')
})

test('PU-12, PU-13, PU-14: what is refused becomes a dead letter in the folder, without secrets, and is redriven', async () => {
  const deadLetters = { deadLetterDestination: { endpointType: 'Folder', properties: { folderName: 'ops' } } }
  const secret = { name: 'X-Key', type: 'Static', properties: { value: 's3cret', isSecret: true } }
  const plain = { name: 'X-Site', type: 'Static', properties: { value: 'north' } }
  const policy = { deadLetterDestinationWithResourceIdentity: deadLetters }
  await put('dead', push('/status/400', { deliveryAttributeMappings: [secret, plain] }, policy))
  await publish('d1')
  const files = await until('a dead letter', 30_000, async () => {
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
  expect(await stack.api('POST', `${at('dead')}:redrive`)).toMatchObject({ status: 200, body: { redriven: 1 } })
  await arrived('/mended', 'd1')
  await remove('dead')
})
