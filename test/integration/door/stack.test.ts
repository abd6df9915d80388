import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { connectAsync, type MqttClient } from 'mqtt'
import { type Stack, startStack, until } from '../../support/stack.ts'

/** The front door and its canary before a whole stack, on the real Kafka. */

interface Health {
  readonly status: string
  readonly durability: string
  readonly hop?: string
  readonly reason?: string
  readonly gateways: readonly { readonly id: string; readonly ms: number }[]
}

const withKafka = process.env.KAFKA_BROKERS ? describe : describe.skip

withKafka('the front door of a stack with two gateways', () => {
  let stack: Stack
  let client: MqttClient | undefined

  beforeAll(async () => {
    stack = await startStack({ environment: { GATEWAYS: '2', DOOR_UPSTREAM_TIMEOUT: '2000', HEALTH_FRESH: '0', SYS_TOPICS_INTERVAL: '1' } })
  }, 120_000)

  afterAll(async () => {
    await client?.endAsync()
    await stack?.stop()
  })

  async function health(): Promise<{ code: number; body: Health }> {
    const { status, body } = await stack.health()
    return { code: status, body: JSON.parse(body) }
  }
  /** The first answer that is so: on a machine that is busy HEALTH_DEADLINE may be over for who is well, too. */
  const healthThat = (what: string, isSo: (code: number, body: Health) => boolean) =>
    until(what, 60_000, async () => {
      const now = await health()
      return isSo(now.code, now.body) && now
    })

  /** Runs `work` while the process neither runs nor ends, as when its machine hangs. */
  async function frozen(name: string, work: () => Promise<void>): Promise<void> {
    const pid = await stack.kill(name, 'SIGSTOP')
    try {
      await work()
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await healthThat('healthy again', (code) => code === 200)
  }

  test('a canary travels through both gateways, and /healthz says what an acknowledgement is worth', async () => {
    const { body } = await healthThat('healthy', (code) => code === 200)
    expect(body).toEqual({
      status: 'ok',
      durability: expect.stringMatching(/^(single copy|replicated)/),
      gateways: [
        { id: 'gateway', ms: expect.any(Number) },
        { id: 'gateway-2', ms: expect.any(Number) },
      ],
    })
  })

  test('SYS_TOPICS_INTERVAL: who has a topic space for it reads the figures of both gateways, and nobody gets them through a wildcard', async () => {
    const reader = await connectAsync(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { protocolVersion: 5 })
    client = reader
    const topics = new Map<string, string>()
    reader.on('message', (topic, payload) => topics.set(topic, payload.toString()))
    await reader.subscribeAsync('#', { qos: 1 })
    await expect(reader.subscribeAsync('$SYS/broker/#', { qos: 1 })).rejects.toThrow('Not authorized')
    // DOOR_UPSTREAM_TIMEOUT is short here, for a machine that is busy too.
    const put = (path: string, body: object) =>
      until(`${path} is there`, 60_000, async () => (await stack.api('PUT', `/namespaces/default/${path}`, body)).status < 300)
    await put('topicSpaces/figures', { topicTemplates: ['$SYS/broker/#'] })
    await put('permissionBindings/figures', { clientGroupName: '$anonymous', topicSpaceName: 'figures', permission: 'Subscriber' })
    await until('the permission has reached the gateway', 60_000, () => reader.subscribeAsync('$SYS/broker/clients/connected').then(Boolean, () => false))
    expect([...topics.keys()].filter((topic) => topic.startsWith('$') && topic !== '$SYS/broker/clients/connected')).toEqual([])
    await reader.subscribeAsync('$SYS/broker/#')
    const expected: Readonly<Record<string, (payload: string) => boolean>> = {
      version: (payload) => /^Loggerhead \d/.test(payload),
      uptime: (payload) => /^\d+ seconds$/.test(payload),
      'clients/connected': (payload) => Number(payload) >= 1,
      'messages/received': (payload) => Number(payload) > 0,
      'gateways/gateway/uptime': (payload) => /^\d+ seconds$/.test(payload),
      'gateways/gateway-2/uptime': (payload) => /^\d+ seconds$/.test(payload),
    }
    // Each is a message of its own, at QoS 0 and told anew every second.
    const missing = () => Object.entries(expected).flatMap(([name, isRight]) => (isRight(topics.get(`$SYS/broker/${name}`) ?? '') ? [] : [name]))
    await until(
      () => `the figures ${missing()}; ${JSON.stringify([...topics])}`,
      60_000,
      () => missing().length === 0,
    )
  }, 120_000)

  test('a router that hangs is named when HEALTH_DEADLINE is up', async () => {
    await frozen('router', async () => {
      const { code, body } = await healthThat('the router is named', (_, { hop, reason }) => hop === 'router' && /router does not answer/.test(reason ?? ''))
      expect([code, body.gateways]).toEqual([503, []])
    })
  })

  test('a gateway that hangs is named, and the other is well', async () => {
    await frozen('gateway-2', async () => {
      const { code, body } = await healthThat('gateway-2 is named', (_, { hop, gateways }) => hop === 'gateway-2' && gateways.length > 0)
      expect([code, body.gateways.map(({ id }) => id)]).toEqual([503, ['gateway']])
    })
  })

  test('messages travel while the registry is down, and the API names it', async () => {
    await frozen('registry', async () => {
      await healthThat('healthy', (code) => code === 200)
      expect(await stack.api('GET', '/namespaces/default/clients')).toMatchObject({ status: 504, body: { hop: 'registry' } })
    })
    await until('the API answers', 60_000, async () => (await stack.api('GET', '/namespaces/default/clients')).status === 200)
  })

  test.each(['gateway', 'router', 'registry', 'door'])('after kill -9 of the %s the API and /healthz come back by themselves', async (name) => {
    const killed = await stack.kill(name)
    await stack.restarted(name, killed)
    await until('healthy again', 60_000, async () => (await health().catch(() => ({ code: 0 }))).code === 200)
    await until('the API answers', 60_000, async () => (await stack.api('GET', '/namespaces/default/clients')).status === 200)
  })

  test('without the key the API is closed', async () => {
    expect((await fetch(`${stack.url}/namespaces/default/clients`)).status).toBe(401)
  })
})
