/** The one-node Kafka that `npm start` and the tests run: its server.properties, as a pure function. */
export interface NodeProperties {
  /** Where its logs are. */
  readonly folder: string
  readonly host: string
  readonly port: number
  readonly controllerPort: number
  /** fsync before each acknowledgement, instead of trusting the page cache. */
  readonly flushEveryAppend: boolean
  /** More settings, or other values for those here. */
  readonly more?: Readonly<Record<string, string>>
}

export function serverProperties({ folder, host, port, controllerPort, flushEveryAppend, more = {} }: NodeProperties): string {
  const properties: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@${host}:${controllerPort}`,
    listeners: `PLAINTEXT://${host}:${port},CONTROLLER://${host}:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://${host}:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL',
    'log.dirs': folder,
    // One node: whatever Kafka keeps for itself has one copy.
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '4',
    // A router that dies gives its shards to the next one within its session of a few seconds, and a join waits for nobody.
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'auto.create.topics.enable': 'false',
    'log.message.timestamp.type': 'CreateTime',
    // Small: a laptop runs this beside everything else.
    'num.network.threads': '1',
    'num.io.threads': '2',
    'num.recovery.threads.per.data.dir': '2',
    'log.cleaner.dedupe.buffer.size': String(8 * 1024 * 1024),
    'log.index.size.max.bytes': String(1024 * 1024),
    // A killed node may come back when its last registration has run out (9 s by default).
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    ...(flushEveryAppend ? { 'log.flush.interval.messages': '1' } : {}),
    ...more,
  }
  return `${Object.entries(properties)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`
}

/** Kafka logs what went wrong, to its standard output. */
export const log4jConfiguration = `<Configuration status="ERROR">
  <Appenders><Console name="console" target="SYSTEM_OUT"><PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
`
