import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Stack, startStack, until } from '../support/stack.ts'
import { JsClient } from './mqttjs.ts'

const project = dirname(dirname(import.meta.dirname))

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** The command against a stack, as a user runs it. */
describe('the command loggerhead', () => {
  let stack: Stack
  let folder: string
  beforeAll(async () => {
    stack = await startStack()
    folder = mkdtempSync(join(tmpdir(), 'loggerhead-cli-'))
  }, 240_000)
  afterAll(async () => {
    await stack?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const environment = () => ({
    ...process.env,
    LOGGERHEAD_URL: stack.url,
    LOGGERHEAD_DATA: stack.folder,
    LOGGERHEAD_MQTT_URL: `mqtt://127.0.0.1:${stack.ports.mqtt}`,
    LOGGERHEAD_PREFIX: stack.prefix,
    KAFKA_BROKERS: stack.brokers,
    MQTT_PORT: String(stack.ports.mqtt),
    MQTTS_PORT: String(stack.ports.mqtts),
    WS_PORT: String(stack.ports.ws),
    WSS_PORT: String(stack.ports.wss),
  })

  function execute(command: string, args: readonly string[], input = '', more: NodeJS.ProcessEnv = {}): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const child = spawn(command, args, { cwd: folder, env: { ...environment(), ...more } })
      let out = ''
      let err = ''
      child.stdout.setEncoding('utf8').on('data', (text) => (out += text))
      child.stderr.setEncoding('utf8').on('data', (text) => (err += text))
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, out, err }))
      child.stdin.end(input)
    })
  }
  const run = (...args: readonly string[]) => execute(process.execPath, [join(project, 'cli/main.ts'), ...args])
  const ok = async (...args: readonly string[]): Promise<string> => {
    const { code, out, err } = await run(...args)
    if (code !== 0) throw new Error(`loggerhead ${args.join(' ')}: ${code}\n${err}`)
    return out
  }

  test('the examples of docs/cli.md work as they stand', async () => {
    const page = readFileSync(join(project, 'docs/cli.md'), 'utf8')
    const examples = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string)
    expect(examples.length).toBeGreaterThanOrEqual(7)
    symlinkSync(stack.folder, join(folder, '.data'))
    const launcher = `npx() { shift; '${process.execPath}' '${join(project, 'cli/loggerhead.mjs')}' "$@"; }`
    const { code, out, err } = await execute('bash', ['-euc', `${launcher}\n${examples.join('\n')}`])
    expect([code, err]).toEqual([0, expect.not.stringContaining('loggerhead:')])
    expect(out).toContain('3 to create, 0 to update, 0 to delete, 0 unchanged')
    expect(out).toContain('allowed: the permission binding “vehicles-publish” allows it')
    expect(out).toContain('refused: ')
    expect(out).toContain('"topic":"demo/one"')
  })

  test('the examples of docs/routing.md work as they stand', async () => {
    const page = readFileSync(join(project, 'docs/routing.md'), 'utf8')
    const examples = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string)
    expect(examples).toHaveLength(1)
    symlinkSync(join(project, 'docs'), join(folder, 'docs'))
    const launcher = `npx() { shift; '${process.execPath}' '${join(project, 'cli/loggerhead.mjs')}' "$@"; }`
    const { code, out, err } = await execute('bash', ['-euc', `${launcher}\n${examples.join('\n')}`])
    expect([code, err]).toEqual([0, expect.not.stringContaining('loggerhead:')])
    expect(out).toContain('5 to create, 0 to update, 0 to delete, 0 unchanged')
    expect(out).toMatch(/^everything +\["#"\] +events +/m)
    expect(out).toMatch(/^raw-readings .*plant-readings/m)
  })

  test('resources: put, get, list, delete, dry run, and what is refused says field and rule', async () => {
    expect(JSON.parse(await ok('--json', 'spaces', 'put', 'cli-space', '{"topicTemplates": ["a/#"]}'))).toMatchObject({ name: 'cli-space' })
    expect(await ok('spaces', 'list')).toMatch(/^NAME .*\n(.*\n)*cli-space +\["a\/#"\]$/m)
    expect(await ok('get', 'spaces', '-o', 'yaml')).toContain('name: cli-space')
    expect(JSON.parse(await ok('get', 'topicSpaces/cli-space', '--json'))).toEqual(JSON.parse(await ok('spaces', 'get', 'cli-space', '--json')))
    expect(await ok('spaces', 'get', 'cli-space', '-o', 'yaml')).toContain('topicTemplates:\n    - a/#')
    const wrong = await run('spaces', 'put', 'cli-space', '{topicTemplates: ["a/#/b"]}')
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('properties.topicTemplates[0]: at character 3: “#” must be the last level')])
    await ok('spaces', 'delete', 'cli-space', '--dry-run')
    await ok('delete', 'spaces/cli-space')
    expect(await run('spaces', 'get', 'cli-space')).toMatchObject({ code: 1, err: expect.stringContaining('404 there is no topicSpaces/cli-space') })
    await ok('cas', 'put', 'cli-ca', '--file', stack.certificates.ca)
  })

  test('apply: a plan before anything, all or nothing when it would be refused, nothing the second time, prune', async () => {
    const file = join(folder, 'apply.yaml')
    const write = (query: string, template: string) =>
      writeFileSync(
        file,
        `kind: clientGroups\nname: apply-group\nproperties: {query: '${query}'}\n---\nkind: spaces\nname: apply-space\nproperties: {topicTemplates: ["${template}"]}\n---\nkind: bindings\nname: apply-bind\nproperties: {clientGroupName: apply-group, topicSpaceName: apply-space, permission: Publisher}\n`,
      )
    write('attributes.a = 1', 'x/#/y')
    const refused = await run('apply', '-f', file)
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(/nothing was changed[\s\S]*apply\.yaml:5: topicSpaces\/apply-space: .*must be the last level/),
    ])
    expect((await run('groups', 'get', 'apply-group')).code).toBe(1)
    write('attributes.a = 1', 'x/#')
    expect(await ok('apply', '-f', file, '--dry-run')).toContain('3 to create')
    expect((await run('groups', 'get', 'apply-group')).code).toBe(1)
    await ok('apply', '-f', file)
    expect(await ok('apply', '-f', file)).toBe('0 to create, 0 to update, 0 to delete, 3 unchanged\n')
    write('attributes.a = 2', 'x/#')
    expect(await ok('apply', '-f', file)).toContain('~ clientGroups/apply-group\n    - query: "attributes.a = 1"\n    + query: "attributes.a = 2"')
    writeFileSync(
      join(folder, 'bindings.yaml'),
      'kind: bindings\nname: apply-bind\nproperties: {clientGroupName: apply-group, topicSpaceName: apply-space, permission: Subscriber}\n',
    )
    expect(await ok('apply', '-f', join(folder, 'bindings.yaml'), '--prune', '--dry-run')).toMatch(/- permissionBindings\/samples-pub/)
  })

  test('pub and sub carry messages; a refused one says what to ask', async () => {
    const sub = run('--json', 'sub', '-t', 'cli/#', '--count', '2', '--wait', '120')
    await until('it has subscribed', 60_000, async () =>
      JSON.stringify((await stack.api('GET', '/namespaces/default/sessions?$top=1000')).body).includes('"cli/#"'),
    )
    expect(await ok('--json', 'sessions', 'list', '--connected')).toContain('"cli/#"')
    await ok('pub', '-t', 'cli/a', '-m', 'one')
    await execute(process.execPath, [join(project, 'cli/main.ts'), 'pub', '-t', 'cli/b'], 'from standard input')
    const { code, out } = await sub
    expect(code).toBe(0)
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { topic: 'cli/a', payload: 'one', qos: 1 },
      { topic: 'cli/b', payload: 'from standard input' },
    ])
    const certificate = [
      '--mqtt-url',
      `mqtts://localhost:${stack.ports.mqtts}`,
      '--ca',
      stack.certificates.ca,
      '--cert',
      stack.certificates.clientCertificate,
      '--key',
      stack.certificates.clientKey,
    ]
    await ok('pub', ...certificate, '-t', 'sample/cli', '-m', 'x')
    expect(await run('pub', ...certificate, '-t', 'elsewhere', '-m', 'x')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/refused: .*[Nn]ot ?[Aa]uthorized.*explain publish/),
    })
    expect(await run('explain', 'publish', 'sample_client', 'elsewhere')).toMatchObject({ code: 2, out: expect.stringContaining('refused: ') })
    const shown = ['--cert', stack.certificates.clientCertificate]
    expect(await ok('explain', 'connect', 'sample_client', ...shown)).toMatch(/^allowed: [\s\S]*groups: \$all[\s\S]*subject: .*CN=sample_client/)
    expect(await run('explain', 'connect', 'someone', ...shown)).toMatchObject({
      code: 2,
      out: expect.stringMatching(/^refused: no client is registered as “someone”\n {2}CONNACK: NotAuthorized \(0x87\)/i),
    })
  })

  test('sessions: one is looked at, disconnected and ended', async () => {
    const client = await JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, {
      protocolVersion: 5,
      clientId: 'cli/session 1',
      clean: false,
      properties: { sessionExpiryInterval: 600 },
    })
    expect(JSON.parse(await ok('--json', 'sessions', 'get', 'cli/session 1'))).toMatchObject({ name: 'cli/session 1', properties: { connected: true } })
    await ok('sessions', 'disconnect', 'cli/session 1')
    await client.closed()
    expect(client.closeCode).toBe(0x98)
    expect(await ok('sessions', 'list', '--offline')).toContain('cli/session 1')
    await ok('sessions', 'delete', 'cli/session 1')
    expect((await run('sessions', 'get', 'cli/session 1')).code).toBe(1)
  })

  /** Copies a moment into another Kafka, of its own, and starts Loggerhead there by the line that is printed; the stack is stopped when `look` is through. */
  async function onCopy(moment: string, look: (copy: Stack) => Promise<void>): Promise<void> {
    const kafka = await startStack({ kafkaOnly: true })
    try {
      const { code, err } = await run('rebuild', '--until', moment, '--to', kafka.brokers, '--to-prefix', 'copy')
      expect([code, err]).toEqual([0, expect.stringMatching(/start it with .* npm start/)])
      const settings = [...err.matchAll(/start it with (.*) npm start/g)].flatMap(([, line = '']) => line.split(' '))
      const copy = await startStack({ environment: Object.fromEntries(settings.map((setting) => setting.split('='))) })
      await look(copy).finally(() => copy.stop())
    } finally {
      await kafka.stop()
    }
  }

  test('at tells the state that the broker told at the time, of each step of a random life; diff what came between; a copy by rebuild lives on from there', async () => {
    const url = `mqtt://127.0.0.1:${stack.ports.mqtt}`
    const root = 'cli-at'
    interface State {
      readonly sessions: readonly { readonly name: string; readonly connected: boolean; readonly filters: readonly string[]; readonly owed: number }[]
      readonly retained: readonly string[]
    }
    type Told = State & { readonly moment: string }
    // biome-ignore lint/suspicious/noExplicitAny: whatever is told
    type Row = { readonly name: string } & Readonly<Record<string, any>>
    const mine = (rows: readonly Row[]): readonly Row[] => rows.filter(({ name }) => name.startsWith(root)).sort((a, b) => (a.name < b.name ? -1 : 1))
    const apiRows = async (path: string, query = '') => {
      const { body } = await stack.api('GET', `/namespaces/default/${path}?$top=1000${query}`)
      return mine((body as { readonly value: readonly Row[] }).value)
    }
    /** As the services tell it now. */
    const now = async (): Promise<State> => ({
      sessions: (await apiRows('sessions')).map(({ name, properties: { connected, subscriptions, queue } }) => ({
        name,
        connected,
        filters: (subscriptions as readonly Row[]).map(({ filter }) => filter).sort(),
        owed: queue.messages,
      })),
      retained: (await apiRows('retainedMessages', `&topicFilter=${root}/%23`)).map(({ name }) => name),
    })
    const then = async (moment: string): Promise<State> => {
      const rowsOf = async (kind: string) => mine((await stack.lines(`/namespaces/default/at/${moment}/${kind}`)) as readonly Row[])
      const [sessions, retained] = [await rowsOf('sessions'), await rowsOf('retained')]
      return {
        sessions: sessions.map(({ name, connected, subscriptions, queue }) => ({ name, connected, filters: subscriptions, owed: queue.messages })),
        retained: retained.map(({ name }) => name),
      }
    }
    await until('each shard has history', 60_000, async () => (await run('at', '-PT0S', 'sessions')).code === 0)
    const publisher = await JsClient.connect(url, { protocolVersion: 5, clientId: 'at-publisher' })
    const clients = new Map<string, JsClient>()
    const told: Told[] = []
    /** What is done, and what tells that all of it has come about. */
    const deeds: readonly (readonly [act: () => Promise<unknown>, isDone: (state: State) => boolean])[] = [
      [
        async () => {
          for (const name of ['1', '2']) {
            const clientId = `${root}-${name}`
            const client = await JsClient.connect(url, { protocolVersion: 5, clientId, clean: false, properties: { sessionExpiryInterval: 600 } })
            clients.set(clientId, client)
            await client.client.subscribeAsync(`${root}/${name}`, { qos: 1 })
          }
        },
        ({ sessions }) => sessions.length === 2 && sessions.every(({ filters }) => filters.length === 1),
      ],
      [() => publisher.client.publishAsync(`${root}/kept`, 'one', { qos: 1, retain: true }), ({ retained }) => retained.length === 1],
      [() => clients.get(`${root}-1`)!.client.endAsync(), ({ sessions }) => sessions[0]?.connected === false],
      [
        async () => {
          for (let i = 0; i < 3; i++) await publisher.client.publishAsync(`${root}/1`, `${i}`, { qos: 1 })
        },
        ({ sessions }) => sessions[0]?.owed === 3,
      ],
      [() => clients.get(`${root}-2`)!.client.subscribeAsync(`${root}/+/more`, { qos: 1 }), ({ sessions }) => sessions[1]?.filters.length === 2],
      [() => publisher.client.publishAsync(`${root}/kept`, '', { qos: 1, retain: true }), ({ retained }) => retained.length === 0],
      [() => clients.get(`${root}-2`)!.client.unsubscribeAsync(`${root}/2`), ({ sessions }) => sessions[1]?.filters.length === 1],
      [() => ok('sessions', 'delete', `${root}-1`), ({ sessions }) => sessions.length === 1],
    ]
    for (const [act, isDone] of deeds) {
      await act()
      // Until the present, folded from the log, is what the services hold: nothing is on its way any more.
      const state = await until('the log and the services tell the same', 60_000, async () => {
        const [folded, held] = [await then('-PT0S'), await now()]
        return isDone(held) && JSON.stringify(folded) === JSON.stringify(held) ? held : undefined
      })
      const moment = new Date().toISOString()
      await until('that moment is over', 10_000, async () => Date.now() > Date.parse(moment) + 1)
      told.push({ moment, ...state })
    }
    await clients.get(`${root}-2`)!.client.endAsync()
    await publisher.client.endAsync()
    expect(new Set(told.map(({ sessions, retained }) => JSON.stringify([sessions, retained]))).size).toBe(deeds.length)
    for (const { moment, ...state } of told) expect([moment, await then(moment)]).toEqual([moment, state])
    const [first] = mine(JSON.parse(await ok('--json', 'at', told[3]!.moment, 'sessions')))
    expect(first).toMatchObject({ name: `${root}-1`, connected: false, queue: { messages: 3 } })
    expect(await ok('at', '-PT0S', 'retained')).not.toContain(`${root}/kept`)
    const differences = await ok('diff', told[1]!.moment, told.at(-1)!.moment)
    expect(differences.split('\n')).toEqual(
      expect.arrayContaining([
        `- sessions ${root}-1`,
        `~ sessions ${root}-2`,
        `- retained ${root}/kept`,
        `+ subscriptions ${root}-2 ${root}/+/more`,
        `- subscriptions ${root}-2 ${root}/2`,
      ]),
    )
    // In the copy of the fourth moment the session is not deleted yet, and the retained message not cleared.
    await onCopy(told[3]!.moment, async (copy) => {
      const elsewhere = `mqtt://127.0.0.1:${copy.ports.mqtt}`
      const returned = await JsClient.connect(elsewhere, {
        protocolVersion: 5,
        clientId: `${root}-1`,
        clean: false,
        properties: { sessionExpiryInterval: 600 },
      })
      const reader = await JsClient.connect(elsewhere, { protocolVersion: 5, clientId: 'at-reader' })
      await reader.client.subscribeAsync(`${root}/#`, { qos: 1 })
      await returned.until('what it was owed', () => returned.arrived.length >= 3)
      await reader.until('what was retained', () => reader.arrived.length >= 1)
      // And it is a broker like any other: what is published there comes behind what was owed, and nowhere else.
      await reader.client.publishAsync(`${root}/1`, 'in the copy', { qos: 1 })
      const texts = ({ arrived }: JsClient) => arrived.map(({ topic, payload, packet }) => [topic, `${payload}`, packet.retain])
      await returned.until('what came since', () => returned.arrived.length >= 4)
      await reader.until('the same', () => reader.arrived.length >= 2)
      expect(texts(returned)).toEqual(['0', '1', '2', 'in the copy'].map((text) => [`${root}/1`, text, false]))
      expect(texts(reader)).toEqual([
        [`${root}/kept`, 'one', true],
        [`${root}/1`, 'in the copy', false],
      ])
      const { body } = await copy.api('GET', `/namespaces/default/sessions/${root}-2`)
      expect(body).toMatchObject({ properties: { subscriptions: [{ filter: `${root}/2` }] } })
      await Promise.all([returned.client.endAsync(), reader.client.endAsync()])
    })
    const early = await run('at', '2020-01-01T00:00:00Z', 'sessions')
    expect([early.code, early.err]).toEqual([1, expect.stringMatching(/410 that moment is not kept: history begins at /)])
  }, 420_000)

  test('explain-delivery tells of a queue, of a connection with and without receipts, and of who was not there; what-if tells what narrower rules would refuse', async () => {
    const url = `mqtt://127.0.0.1:${stack.ports.mqtt}`
    const properties = { sessionExpiryInterval: 600 }
    const kept = await JsClient.connect(url, { protocolVersion: 5, clientId: 'told-kept', clean: false, properties })
    const passing = await JsClient.connect(url, { protocolVersion: 5, clientId: 'told-passing', clean: true })
    const elsewhere = await JsClient.connect(url, { protocolVersion: 5, clientId: 'told-elsewhere', clean: false, properties })
    await Promise.all([kept.subscribe('told/#'), passing.subscribe('told/+', 0), elsewhere.subscribe('told/other')])
    const explain = async (client: string, message: string) => {
      const { code, out, err } = await run('--json', 'explain-delivery', '--client', client, '--message', message)
      if (out === '') throw new Error(err)
      return { code, ...(JSON.parse(out) as { outcome: string; evidence: { topic: string }[]; nearest: { filter: string }[] }) }
    }
    /** Publishes, waits until both have it; where it stands in the log. */
    const publish = async (topic: string): Promise<string> => {
      await ok('pub', '-t', topic, '-m', 'x')
      await Promise.all([kept, passing].map((each) => each.next()))
      const lines = (await ok('tail', 'messages', '--from-beginning', '--end')).trim().split('\n')
      const found = lines.map((line) => JSON.parse(line) as { partition: number; offset: number; key: string }).findLast(({ key }) => key === topic)
      return `${found?.partition}:${found?.offset}`
    }
    const first = await publish('told/1')
    const settled = (client: string, outcome: string) =>
      until(`${client}: ${outcome}`, 60_000, async () => {
        const answer = await explain(client, first)
        // The journals are told a moment later than the clients.
        return !['notMatched', 'inFlight', 'waiting'].includes(answer.outcome) && answer
      })
    expect(await settled('told-kept', 'acknowledged')).toMatchObject({ code: 0, outcome: 'acknowledged' })
    expect(await settled('told-passing', 'handedToGateway')).toMatchObject({ code: 2, outcome: 'handedToGateway' })
    expect(await settled('told-elsewhere', 'noSubscription')).toMatchObject({ code: 2, nearest: [{ filter: 'told/other' }] })
    expect(await settled('told-nobody', 'noSession')).toMatchObject({ code: 2, outcome: 'noSession' })
    expect((await run('explain-delivery', '--client', 'told-kept', '--message', first)).out).toMatch(
      /^acknowledged: [\s\S]*told\/1[\s\S]*proof:[\s\S]*published/,
    )
    expect(await run('explain-delivery', '--client', 'x', '--message', '0:99999999')).toMatchObject({
      code: 1,
      err: expect.stringContaining('the log ends before'),
    })

    await ok('groups', 'put', '$anonymous', '{deliveryReceipts: true}')
    let last = first
    await until('there is a receipt', 60_000, async () => {
      last = await publish('told/2')
      return (await ok('tail', 'receipts', '--from-beginning', '--end')).includes('told-passing')
    })
    const sent = await until('the receipt of the last one', 60_000, async () => {
      const answer = await explain('told-passing', last)
      return answer.outcome === 'sent' && answer
    })
    expect(sent.evidence.map(({ topic }) => topic)).toContain(`${stack.prefix}.default.receipts`)
    await ok('groups', 'put', '$anonymous', '{}')

    const file = join(folder, 'narrower.yaml')
    writeFileSync(file, 'kind: topicSpaces\nname: everything\nproperties: {topicTemplates: ["told/1"]}\n')
    const { code, out } = await run('what-if', '-f', file, '-t', 'told/#')
    expect(code).toBe(2)
    expect(out).toMatch(/publishes that would have been refused: \d+\n[\s\S]* told\/2 [\s\S]*deliveries lost with their publish: \d+/)
    expect(await ok('spaces', 'get', 'everything')).toContain('"#"')
    writeFileSync(file, 'kind: topicSpaces\nname: everything\nproperties: {topicTemplates: ["#", "told/1"]}\n')
    expect(await ok('what-if', '-f', file, '-t', 'told/#')).toContain('publishes that would have been refused: none')
    await Promise.all([kept, passing, elsewhere].map((each) => each.client.endAsync()))
  }, 240_000)

  test('doctor finds everything well, and names what is not', async () => {
    let well: readonly { readonly check: string; readonly health: string }[] = []
    await until(
      () => `all is well: ${JSON.stringify(well)}`,
      60_000,
      async () => {
        // The canary has HEALTH_DEADLINE, which a machine that is busy may need longer than.
        well = JSON.parse((await run('--json', 'doctor')).out)
        return well.length > 0 && well.every(({ health }) => health === 'ok')
      },
    )
    expect(well.map(({ check }) => check.split(' ')[0])).toEqual(['Node', 'Kafka', 'front', 'API', 'mqtt', 'mqtts', 'mqtts', 'ws', 'wss', 'wss'])
    const ill = await execute(process.execPath, [join(project, 'cli/main.ts'), 'doctor', '--ca', stack.certificates.caKey], '', {
      MQTT_PORT: '1',
      WS_PORT: 'off',
      LOGGERHEAD_API_KEY: 'wrong',
      KAFKA_BROKERS: '127.0.0.1:1',
    })
    expect(ill.code).toBe(1)
    for (const text of [
      /✗ mqtt 127.0.0.1:1: nothing listens there/,
      /· ws: WS_PORT is off/,
      /✗ API key: .*401/,
      /✗ Kafka/,
      /✗ mqtts \S+ TLS: the server’s certificate is not trusted/,
    ])
      expect(ill.out).toMatch(text)
  })

  test('without a broker, and without a key, it says so in a sentence', async () => {
    const away = await execute(process.execPath, [join(project, 'cli/main.ts'), 'clients', 'list'], '', { LOGGERHEAD_URL: 'http://127.0.0.1:1' })
    expect([away.code, away.err]).toEqual([1, expect.stringMatching(/^loggerhead: http:\/\/127\.0\.0\.1:1 cannot be reached \(/)])
    const keyless = await execute(process.execPath, [join(project, 'cli/main.ts'), 'clients', 'list'], '', { LOGGERHEAD_DATA: '/nowhere' })
    expect([keyless.code, keyless.err]).toEqual([1, expect.stringMatching(/^loggerhead: LOGGERHEAD_API_KEY: is not set/)])
    expect((await run('clients', 'lost')).code).toBe(1)
  })
})
