/** SASL_SSL, SASL_PLAINTEXT and ACLs, on a broker that lets nobody in and nothing through by default; and a route to it from another Kafka. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import kafkajs from 'kafkajs'
import { makeDevelopmentCertificates } from '../../../access/certificates.ts'
import { type AclRule, kafkaAcls, kafkaPrincipals } from '../../../log/kafka/acls.ts'
import { kafkaConnection, kafkaSettings } from '../../../log/kafka/connection-settings.ts'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import { AppendError, NotAuthorized } from '../../../log/log.ts'
import { ensureTopics, planTopics, topicNames, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { readSettings } from '../../../settings/setting.ts'
import { libraryFolder } from '../../../stack/kafka/artifacts.ts'
import { findFreePorts } from '../../../stack/ports.ts'
import { JsClient } from '../../clients/mqttjs.ts'
import { startStack, until as untilAsync } from '../../support/stack.ts'
import { collectRecords, type FoundRecord, makeKafkaTopic } from '../../wire/kafka-records.ts'
import { findJava, OwnKafka, until } from './own-kafka.ts'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs
const java = await findJava()
const run = typeof java === 'string' ? test.skip : test
const why = typeof java === 'string' ? ` [skipped: ${java}]` : ''
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const project = dirname(dirname(dirname(import.meta.dirname)))

const users = ['gateway', 'router', 'registry', 'setup', 'stack', 'stranger'] as const
type User = (typeof users)[number]
const password = randomBytes(12).toString('hex')
const mechanisms: Readonly<Record<User, string>> = {
  gateway: 'scram-sha-512',
  router: 'scram-sha-256',
  registry: 'plain',
  setup: 'plain',
  stack: 'scram-sha-512',
  stranger: 'plain',
}
const names = topicNames('loggerhead', 'default')
const loginOf = (mechanism: string): string => `org.apache.kafka.common.security.${mechanism} required`
/** Of a listener: users of PLAIN are the broker's to name, those of SCRAM are told it later. */
const logins = (listener: string): readonly (readonly [string, string])[] => [
  [`listener.name.${listener}.plain.sasl.jaas.config`, `${loginOf('plain.PlainLoginModule')} ${users.map((user) => `user_${user}="${password}"`).join(' ')};`],
  [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`, `${loginOf('scram.ScramLoginModule')};`],
  [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`, `${loginOf('scram.ScramLoginModule')};`],
]
/** Where a route of another deployment writes to. */
const lake = 'readings'

let kafka: OwnKafka
let folder = ''
let internal = ''
/** Without TLS, and with a login. */
let plain = ''

beforeAll(async () => {
  if (typeof java === 'string') return
  const [internalPort, plainPort] = await findFreePorts(2)
  internal = `127.0.0.1:${internalPort}`
  plain = `127.0.0.1:${plainPort}`
  kafka = await OwnKafka.start({
    prepare: async (at) => {
      folder = at
      const made = await makeDevelopmentCertificates(join(at, 'certificates'), { hosts: ['127.0.0.1'] })
      await writeFile(join(at, 'broker.pem'), (await readFile(made.serverKey, 'utf8')) + (await readFile(made.serverCertificate, 'utf8')))
      await writeFile(join(at, 'password'), `${password}\n`)
      await writeFile(join(at, 'wrong'), 'wrong')
    },
    more: ({ port, controllerPort, folder: at }) => ({
      listeners: `SASL_SSL://127.0.0.1:${port},SASL_PLAINTEXT://${plain},INTERNAL://${internal},CONTROLLER://127.0.0.1:${controllerPort}`,
      'advertised.listeners': `SASL_SSL://127.0.0.1:${port},SASL_PLAINTEXT://${plain},INTERNAL://${internal}`,
      'inter.broker.listener.name': 'INTERNAL',
      'listener.security.protocol.map': 'SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT',
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': join(at, 'broker.pem'),
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      ...Object.fromEntries(['sasl_ssl', 'sasl_plaintext'].flatMap(logins)),
      // Logins end soon: a connection has to be replaced while it is in use.
      'connections.max.reauth.ms': '3000',
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'allow.everyone.if.no.acl.found': 'false',
      'super.users': 'User:ANONYMOUS',
    }),
  })
  const addUser = async (user: User): Promise<void> => {
    const mechanism = mechanisms[user].toUpperCase()
    await promisify(execFile)(java.java, [
      ...['-Xshare:auto', '-XX:TieredStopAtLevel=1', '-cp', join(libraryFolder(project), '*'), 'kafka.admin.ConfigCommand'],
      ...['--bootstrap-server', internal, '--alter', '--entity-type', 'users', '--entity-name', user],
      ...['--add-config', `${mechanism}=[password=${password}]`],
    ])
  }
  await Promise.all([...users.filter((user) => mechanisms[user] !== 'plain').map(addUser), grant()])
}, 300_000)
afterAll(async () => {
  await kafka?.stop()
})

const resources = { Topic: AclResourceTypes.TOPIC, Group: AclResourceTypes.GROUP, TransactionalId: AclResourceTypes.TRANSACTIONAL_ID }
const operations = {
  Read: AclOperationTypes.READ,
  Write: AclOperationTypes.WRITE,
  Create: AclOperationTypes.CREATE,
  Describe: AclOperationTypes.DESCRIBE,
  DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
  Delete: AclOperationTypes.DELETE,
  AlterConfigs: AclOperationTypes.ALTER_CONFIGS,
}

async function grant(): Promise<void> {
  const admin = new Kafka({ brokers: [internal], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const entries: (readonly [principal: string, rule: AclRule])[] = kafkaPrincipals.flatMap((principal) =>
    kafkaAcls(names)[principal].map((rule) => [principal, rule] as const),
  )
  // `npm start` has one login for all that it runs: what each of them may do, and no more.
  const stackNames = topicNames('whole', 'default')
  for (const principal of ['setup', 'gateway', 'router', 'registry'] as const)
    for (const rule of kafkaAcls(stackNames)[principal]) entries.push(['stack', rule])
  entries.push(['registry', { resource: 'Topic', name: lake, pattern: 'literal', operations: ['Read', 'Write', 'Describe'], why: '' }])
  await admin.createAcls({
    acl: entries.flatMap(([principal, rule]) =>
      rule.operations.map((operation) => ({
        resourceType: resources[rule.resource],
        resourceName: rule.name,
        resourcePatternType: rule.pattern === 'prefixed' ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
        principal: `User:${principal}`,
        host: '*',
        operation: operations[operation],
        permissionType: AclPermissionTypes.ALLOW,
      })),
    ),
  })
  await admin.disconnect()
}

const environmentOf = (user: User) => ({
  KAFKA_BROKERS: kafka.brokers,
  KAFKA_TLS: 'true',
  KAFKA_TLS_CA: join(folder, 'certificates/ca.pem'),
  KAFKA_SASL_MECHANISM: mechanisms[user],
  KAFKA_SASL_USERNAME: user,
  KAFKA_SASL_PASSWORD_FILE: join(folder, 'password'),
})

/** A log as a service opens it: everything from the environment. */
function open(user: User, more: Readonly<Record<string, string>> = {}): KafkaLog {
  const environment = { ...environmentOf(user), ...more }
  return new KafkaLog({ ...kafkaConnection(readSettings(kafkaSettings, environment)), clientId: user, logger: silent })
}

const specs = topicSpecs(planTopics(readSettings(topicSettings, {}), 'default', 'development'))
const record = (topic: string) => ({ topic, partition: 0, key: Buffer.from('key'), value: Buffer.from('value'), timestamp: Date.now() })

/** Does with a topic, group or transactional id what the rule allows. */
async function use(log: KafkaLog, rule: AclRule): Promise<void> {
  if (rule.resource === 'Topic' && rule.pattern === 'literal') {
    if (rule.operations.includes('Write')) {
      const appender = await log.appender()
      expect(await appender.write(record(rule.name))).toBeGreaterThanOrEqual(0)
      await appender.close()
    }
    if (rule.operations.includes('Read')) {
      const follower = await log.follow({ topic: rule.name, from: await log.startOffsets(rule.name), maxWaitMs: 50 })
      for await (const { topic } of follower.stretches()) {
        expect(topic).toBe(rule.name)
        break
      }
      await follower.close()
      const ends = await log.endOffsets(rule.name)
      expect((await log.readMany(rule.name, ends)).length).toBe(ends.size)
    }
  }
  if (rule.resource === 'Group') {
    let shards = 0
    const membership = await log.join({
      group: rule.name,
      topic: names.messages,
      instance: 'router-1',
      onAssigned: (partitions) => {
        shards = partitions.length
      },
      onRevoked: () => {},
    })
    expect(shards).toBe(4)
    await membership.close()
  }
}

run(
  `each service does its part of the log under its own ACLs, over SASL_SSL with PLAIN and SCRAM${why}`,
  async () => {
    const setup = open('setup')
    await ensureTopics(setup, specs, 'development')
    await setup.close()
    for (const principal of ['gateway', 'router', 'registry'] as const) {
      const log = open(principal)
      await ensureTopics(log, specs, 'development')
      for (const rule of kafkaAcls(names)[principal]) await use(log, rule)
      await log.close()
    }
    for (const [principal, transactionalId, topic] of [
      ['router', `${names.snapshots}.shard-0`, names.snapshots],
      ['registry', `${names.registry}.writer`, names.registry],
    ] as const) {
      const log = open(principal)
      const appender = await log.appender({ transactionalId })
      expect(await appender.write(record(topic))).toBeGreaterThanOrEqual(0)
      await log.close()
    }
  },
  120_000,
)

run(`what is not listed is refused: a gateway neither changes the registry nor reads sessions nor takes shards${why}`, async () => {
  const log = open('gateway')
  const appender = await log.appender()
  const refused = appender.write(record(names.registry))
  await expect(refused).rejects.toThrow(AppendError)
  await expect(refused).rejects.toThrow('TOPIC_AUTHORIZATION_FAILED')
  // The refusal concerns that topic alone.
  expect(await appender.write(record(names.messages))).toBeGreaterThanOrEqual(0)
  await expect(log.read(names.sessions, 0, 0)).rejects.toThrow('TOPIC_AUTHORIZATION_FAILED')
  const follower = await log.follow({ topic: names.inbox, from: new Map([[0, 0]]) })
  await expect(follower.stretches()[Symbol.asyncIterator]().next()).rejects.toThrow('TOPIC_AUTHORIZATION_FAILED')
  await expect(log.appender({ transactionalId: `${names.snapshots}.shard-0` })).rejects.toThrow(/AUTHORIZATION_FAILED|authoriz/i)
  await expect(log.join({ group: `${names.messages}.router`, topic: names.messages, instance: 'gateway', onAssigned() {}, onRevoked() {} })).rejects.toThrow(
    /AUTHORIZATION_FAILED|authoriz/i,
  )
  await log.close()
  const router = open('router')
  await expect(router.topicExists('others')).rejects.toThrow(NotAuthorized)
  const fenced = await router.appender({ transactionalId: `${names.messages}.routes.shard-0` })
  await expect(fenced.fence(names.registry, [0])).rejects.toMatchObject({ name: 'AppendError', refusal: 'notAuthorized' })
  await fenced.fence(names.snapshots, [0])
  expect(await fenced.write(record(names.snapshots))).toBeGreaterThanOrEqual(0)
  await router.close()
})

run(`a login that ends while the log is in use is renewed, and nothing is lost or repeated${why}`, async () => {
  const log = open('gateway')
  const start = (await log.endOffsets(names.messages)).get(1) ?? 0
  const appender = await log.appender()
  const offsets: number[] = []
  const end = Date.now() + 5_000
  while (Date.now() < end) offsets.push(await appender.write({ ...record(names.messages), partition: 1 }))
  expect(offsets).toEqual(offsets.map((_, i) => start + i))
  await log.close()
})

const withoutTls = { KAFKA_TLS: 'false', KAFKA_TLS_CA: '' }

run(`over SASL_PLAINTEXT each mechanism lets its user write and read, and a login that ends while the log is in use is renewed${why}`, async () => {
  for (const [user, topic, forMs] of [
    ['gateway', names.messages, 3_500],
    ['router', names.messages, 0],
    ['registry', names.registry, 0],
  ] as const) {
    const log = open(user, { ...withoutTls, KAFKA_BROKERS: plain })
    const start = (await log.endOffsets(topic)).get(0) ?? 0
    const appender = await log.appender()
    const offsets: number[] = []
    const end = Date.now() + forMs
    do offsets.push(await appender.write(record(topic)))
    while (Date.now() < end)
    expect([user, offsets]).toEqual([user, offsets.map((_, i) => start + i)])
    // A gateway writes messages, and may not read them.
    if (user !== 'gateway') {
      const { records } = await log.read(topic, 0, start)
      expect([user, records.find(({ offset }) => offset === start)?.value?.toString()]).toEqual([user, 'value'])
    }
    await log.close()
  }
})

run(`a wrong password and an unknown authority are told by health, and never let in${why}`, async () => {
  for (const [more, reason] of [
    [{ KAFKA_SASL_PASSWORD_FILE: join(folder, 'wrong') }, /authentication/i],
    [{ KAFKA_TLS_CA: '' }, /certificate|self-signed|issuer/i],
    [{ ...withoutTls, KAFKA_BROKERS: plain, KAFKA_SASL_PASSWORD_FILE: join(folder, 'wrong') }, /authentication/i],
  ] as const) {
    const log = open('stranger', more)
    const reading = log.endOffsets(names.messages)
    await until('health tells why', () => reason.test(log.health().reason ?? ''))
    expect(log.health().reachable).toBe(false)
    await log.close()
    await expect(reading).rejects.toThrow('closed')
  }
})

run(
  `npm start on SASL_SSL and ACLs: all services come up, and what is published arrives, over a login that is renewed${why}`,
  async () => {
    const stack = await startStack({ kafka: 'own', environment: { ...environmentOf('stack'), LOGGERHEAD_PREFIX: 'whole' } })
    try {
      const connect = (clientId: string) => JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { clientId, protocolVersion: 5, clean: false })
      const subscriber = await connect('secured-subscriber')
      await subscriber.subscribe('secured/#')
      const publisher = await connect('secured-publisher')
      const end = Date.now() + 4_500
      let sent = 0
      while (Date.now() < end) expect(await publisher.publish(`secured/${sent}`, String(sent++))).toBe('done')
      const came = () => new Set(subscriber.arrived.map(({ topic, payload }) => `${topic} ${payload}`))
      await subscriber.until('all of it', () => subscriber.arrived.length >= sent && came().size >= sent)
      expect(came()).toEqual(new Set(Array.from({ length: sent }, (_, i) => `secured/${i} ${i}`)))
      await stack.untilHealthy()
      await Promise.all([publisher.end(), subscriber.end()])
      expect(await stack.stop()).toBe(0)
    } finally {
      await stack.stop()
    }
  },
  180_000,
)

run(
  `RT-05: a route to a Kafka that asks for a login waits while that is away, says so, and goes on: each message at least once under its event's id${why}`,
  async () => {
    await makeKafkaTopic(internal, lake, 1)
    const clusters = join(folder, 'clusters.json')
    const login = { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'registry', KAFKA_SASL_PASSWORD_FILE: join(folder, 'password') }
    await writeFile(clusters, JSON.stringify({ lake: { KAFKA_BROKERS: plain, ...login } }))
    const stack = await startStack({ environment: { ROUTE_CLUSTERS_FILE: clusters, ROUTE_RETRY_MAX: '1000' } })
    try {
      const put = async (path: string, body: object) => expect((await stack.api('PUT', `/namespaces/default/${path}`, body)).status).toBe(201)
      await put('topics/home', {})
      await put('routes/home', { topicFilters: ['lake/#'], target: { topic: 'home' } })
      await put('routes/away', { topicFilters: ['lake/#'], target: { kafkaTopic: lake, cluster: 'lake' } })
      const client = await JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { clientId: 'lake', protocolVersion: 5 })
      const texts = Array.from({ length: 60 }, (_, i) => String(i))
      const publish = async (from: number, to: number) => {
        for (const text of texts.slice(from, to)) expect(await client.publish('lake/level', text)).toBe('done')
      }
      const has = (wanted: readonly string[]) => (records: readonly FoundRecord[]) => {
        const there = new Set(records.map(({ value }) => value?.toString()))
        return wanted.every((text) => there.has(text))
      }
      const status = async () => ((await stack.api('GET', '/namespaces/default/routes/away')).body as { readonly status: object }).status
      await publish(0, 20)
      await collectRecords(internal, lake, has(texts.slice(0, 20)))
      await kafka.kill()
      await publish(20, 60)
      await untilAsync('the route says what it waits for', 60_000, async () => {
        const { error, lag } = (await status()) as { readonly error?: string; readonly lag: number }
        return error === 'ServiceError' && lag > 0
      })
      // The route beside it has nothing to wait for.
      const atHome = await collectRecords(stack.brokers, `${stack.prefix}.default.topic.home`, has(texts))
      await kafka.up()
      const away = await collectRecords(internal, lake, has(texts))
      const eventOf = ({ headers, value }: FoundRecord) => `${headers.ce_id} ${value}`
      const once = [...new Set(away.map(eventOf))]
      expect(once).toEqual([...new Set(atHome.map(eventOf))])
      expect(once).toHaveLength(60)
      await untilAsync('the route has nothing left', 60_000, async () => {
        const { state, lag } = (await status()) as { readonly state: string; readonly lag: number }
        return state === 'Running' && lag === 0
      })
      await client.end()
    } finally {
      await stack.stop()
    }
  },
  240_000,
)

test('docs/kafka-acls.md lists exactly these rules', () => {
  const documented = readFileSync(join(project, 'docs/kafka-acls.md'), 'utf8')
    .split('\n')
    .filter((line) => /^\| (?!principal|---)/.test(line))
  const rules = kafkaPrincipals.flatMap((principal) =>
    kafkaAcls(names)[principal].map(
      ({ resource, name, pattern, operations, why }) => `| ${principal} | ${resource} | \`${name}\` | ${pattern} | ${operations.join(', ')} | ${why} |`,
    ),
  )
  expect(documented).toEqual(rules)
})
