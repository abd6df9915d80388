import { existsSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { type DevelopmentCertificates, makeDevelopmentCertificates } from '../access/certificates.ts'
import { listed } from '../settings/setting.ts'
import { publicPorts, type StackConfig } from './config.ts'
import { DataFolder } from './data-folder.ts'
import { DiskWatch } from './disk.ts'
import { Guard } from './guard.ts'
import { askKafka, askPort } from './kafka/answers.ts'
import { FetchError, fetchArtifacts, kafkaVersion } from './kafka/artifacts.ts'
import { chooseForStart, type KafkaChoice, type Probes } from './kafka/choose.ts'
import { prepareContainer } from './kafka/docker.ts'
import { prepareNode } from './kafka/node.ts'
import { keyFile } from './key-file.ts'
import { localHost, nextSteps } from './next-steps.ts'
import { checkFree, findFreePorts } from './ports.ts'
import { isRunning } from './process-identity.ts'
import { arrangePorts, internalPortCount, serviceSpecs } from './services.ts'
import { type ProcessSpec, SupervisedProcess } from './supervised-process.ts'

export interface SupervisorOptions {
  readonly config: StackConfig
  /** The folder that holds package.json. */
  readonly project: string
  /** Where the services' folders are; the project unless a test brings its own. */
  readonly services?: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly probes: Probes
  /** A line of progress. */
  readonly say: (line: string) => void
  /** Aborted when everything is to stop. */
  readonly stopped: AbortSignal
  readonly node: string
  readonly nodeFlags: readonly string[]
  /** Starts no service. */
  readonly kafkaOnly?: boolean
}

/** The start was given up because a stop was asked for. */
class Stopped extends Error {}

/** Brings up Kafka and the services, keeps them up, and takes them down in order. */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #folder: DataFolder
  readonly #guard = new Guard()
  /** In starting order. */
  readonly #processes: SupervisedProcess[] = []
  #afterKafka: (() => Promise<void>) | undefined
  #writeAgain: NodeJS.Timeout | undefined

  /** Takes the data folder: throws FolderInUse. */
  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#folder = new DataFolder(options.config.dataFolder)
  }

  /** Starts everything, keeps it up until `stopped` is aborted, stops everything. Rejects when the start fails, everything being stopped. */
  async run(): Promise<void> {
    const { stopped } = this.#options
    const aborted = new Promise<never>((_, reject) => {
      if (stopped.aborted) reject(new Stopped())
      stopped.addEventListener('abort', () => reject(new Stopped()), { once: true })
    })
    aborted.catch(() => {})
    const disk = new DiskWatch(this.#folder.path, this.#options.say)
    const watching = setInterval(() => disk.look(), 2_000)
    try {
      await this.#start(<T>(step: Promise<T>) => Promise.race([step, aborted]))
      await aborted
    } catch (error) {
      if (!(error instanceof Stopped)) throw error
    } finally {
      clearInterval(watching)
      await this.#stop()
    }
  }

  async #start(step: <T>(work: Promise<T>) => Promise<T>): Promise<void> {
    const { config, project, environment, node, nodeFlags, kafkaOnly } = this.#options
    this.#folder.writeProcesses({})
    await step(this.#endLeftovers())
    await step(checkFree(publicPorts(config).filter(([variable]) => !kafkaOnly || variable === 'KAFKA_PORT')))
    const files = {
      apiKey: keyFile(this.#folder.file('api-key')),
      internalKey: keyFile(this.#folder.file('internal-key')),
    }
    const certificates = await step(this.#certificates())
    const { brokers, kafka } = await step(this.#startKafka())
    if (kafkaOnly) {
      this.#options.say('Kafka alone runs, for commands that want nobody to be served; Ctrl-C stops it')
      return
    }

    const ports = arrangePorts(
      config,
      await findFreePorts(
        internalPortCount(config),
        publicPorts(config).map(([, port]) => port),
      ),
    )
    const specs = serviceSpecs({
      config,
      project: this.#options.services ?? project,
      brokers,
      ports,
      files: { ...files, tlsCert: certificates?.serverCertificate ?? config.values.TLS_CERT, tlsKey: certificates?.serverKey ?? config.values.TLS_KEY },
      environment,
      node,
      nodeFlags,
    })
    // The registry makes the topics that routers and gateways need; the front door needs nobody.
    await step(Promise.all([specs.registry, specs.door].map((spec) => this.#startService(spec))))
    await step(Promise.all([...specs.routers, ...specs.gateways].map((spec) => this.#startService(spec))))
    await step(this.#untilHealthy())
    const show = (path: string) => (path.startsWith(`${process.cwd()}/`) ? path.slice(process.cwd().length + 1) : path)
    process.stdout.write(`${nextSteps({ config, brokers, kafka, certificates, apiKeyFile: files.apiKey, show })}\n`)
  }

  async #endLeftovers(): Promise<void> {
    const { leftovers } = this.#folder
    if (leftovers.length === 0) return
    this.#options.say(`ending what is left of the last run: ${leftovers.map(({ name, pid }) => `${name} (${pid})`).join(', ')}`)
    for (const [signal, patienceMs] of [
      ['SIGTERM', 8_000],
      ['SIGKILL', 5_000],
    ] as const) {
      const deadline = performance.now() + patienceMs
      for (const leftover of leftovers) if (isRunning(leftover)) process.kill(leftover.pid, signal)
      while (leftovers.some(isRunning) && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async #certificates(): Promise<DevelopmentCertificates | undefined> {
    const { config } = this.#options
    if (config.values.TLS_CERT) {
      for (const name of ['TLS_CERT', 'TLS_KEY'] as const) {
        if (!existsSync(config.values[name]) || !statSync(config.values[name]).isFile()) throw new Error(`${name}: there is no file ${config.values[name]}`)
      }
      return undefined
    }
    if (config.production) return undefined
    return makeDevelopmentCertificates(this.#folder.file('certificates'), { hosts: [hostname()], clientName: 'sample_client' })
  }

  async #startKafka(): Promise<{ readonly brokers: string; readonly kafka: string }> {
    const { config, probes } = this.#options
    const choice = await chooseForStart(config.values.KAFKA_BROKERS || undefined, probes)
    return this.#useKafka(choice)
  }

  async #useKafka(choice: KafkaChoice): Promise<{ readonly brokers: string; readonly kafka: string }> {
    const { config, project, say, probes, stopped } = this.#options
    const { values } = config
    const brokers = `127.0.0.1:${values.KAFKA_PORT}`
    switch (choice.kind) {
      case 'external':
        await this.#untilBrokerAnswers(choice.brokers)
        say(`Kafka answers at ${choice.brokers}`)
        return { brokers: choice.brokers, kafka: 'KAFKA_BROKERS' }
      case 'artifacts': {
        if (choice.maven !== undefined) {
          say(`fetching Kafka ${kafkaVersion} from Maven Central, once (45 MB) …`)
          try {
            await fetchArtifacts({ project, say, maven: choice.maven, signal: stopped })
          } catch (error) {
            if (!(error instanceof FetchError)) throw error
            if ((await probes.engine()) === true) {
              say(`${error.message}; using Docker instead`)
              return this.#useKafka({ kind: 'docker' })
            }
            throw new Error(
              `${error.message}, and no Docker engine answers. Name the brokers of a running Kafka in KAFKA_BROKERS, or try again with a network.`,
              { cause: error },
            )
          }
        }
        say(`starting Kafka ${kafkaVersion} …`)
        const [controllerPort = 0] = await findFreePorts(
          1,
          publicPorts(this.#options.config).map(([, port]) => port),
        )
        const spec = await prepareNode({
          project,
          java: choice.java,
          folder: this.#folder.folder('kafka'),
          host: '127.0.0.1',
          port: values.KAFKA_PORT,
          controllerPort,
          flushEveryAppend: values.KAFKA_FLUSH_EVERY_APPEND,
        })
        this.#afterKafka = spec.afterStop
        await this.#launch(spec).start()
        say(`Kafka answers at ${brokers}`)
        return { brokers, kafka: `Apache Kafka ${kafkaVersion}, started here` }
      }
      case 'docker': {
        say(`starting Kafka ${kafkaVersion} with Docker (the first time it fetches the image) …`)
        const name = `loggerhead-kafka-${values.KAFKA_PORT}`
        this.#guard.atEnd(`docker rm -f ${name}`)
        await this.#launch(
          await prepareContainer({
            name,
            folder: this.#folder.folder('kafka', 'container'),
            port: values.KAFKA_PORT,
            flushEveryAppend: values.KAFKA_FLUSH_EVERY_APPEND,
          }),
        ).start()
        say(`Kafka answers at ${brokers}`)
        return { brokers, kafka: `Apache Kafka ${kafkaVersion} in Docker` }
      }
      case 'testcontainers':
        throw new Error('testcontainers serve tests only')
      case 'none':
        throw new Error(choice.missing)
    }
  }

  async #untilBrokerAnswers(brokers: string): Promise<void> {
    const { values } = this.#options.config
    const ask = values.KAFKA_TLS || values.KAFKA_SASL_MECHANISM ? askPort : askKafka
    const deadline = performance.now() + 10_000
    for (;;) {
      const reasons: string[] = []
      for (const broker of listed(brokers)) {
        const colon = broker.lastIndexOf(':')
        const reason = await ask(broker.slice(0, colon).replace(/^\[|\]$/g, ''), Number(broker.slice(colon + 1)), 3_000)
        if (reason === undefined) return
        reasons.push(`${broker}: ${reason}`)
      }
      if (performance.now() > deadline) throw new Error(`KAFKA_BROKERS: no broker answers (${reasons.join('; ')})`)
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }

  #launch(spec: ProcessSpec): SupervisedProcess {
    const launched = new SupervisedProcess({
      spec,
      logPath: join(this.#folder.folder('logs'), `${spec.name}.log`),
      guard: this.#guard,
      say: this.#options.say,
      onChange: () => this.#writeProcesses(),
    })
    this.#processes.push(launched)
    return launched
  }

  async #startService(spec: ProcessSpec): Promise<void> {
    const { say } = this.#options
    const waiting = setInterval(() => say(`still waiting for ${spec.name} (${this.#folder.file('logs', `${spec.name}.log`)})`), 10_000)
    try {
      await this.#launch(spec).start()
      say(`${spec.name} is ready`)
    } finally {
      clearInterval(waiting)
    }
  }

  #writeProcesses(): void {
    clearTimeout(this.#writeAgain)
    try {
      this.#folder.writeProcesses(Object.fromEntries(this.#processes.flatMap(({ name, process }) => (process ? [[name, process]] : []))))
    } catch {
      // A full disk, which the watch names: what runs goes on, and the file follows when there is room.
      this.#writeAgain = setTimeout(() => this.#writeProcesses(), 1_000)
    }
  }

  /** The front door's canary has travelled MQTT → Kafka → gRPC → MQTT. */
  async #untilHealthy(): Promise<void> {
    const { config, say, stopped } = this.#options
    const address = `http://${localHost(config.values.LOGGERHEAD_BIND)}:${config.values.HTTP_PORT}/healthz`
    const started = performance.now()
    let told = started
    while (!stopped.aborted) {
      const trouble = await fetch(address, { signal: AbortSignal.timeout(10_000) }).then(
        async (response) => (response.status === 200 ? undefined : (await response.text()).slice(0, 500)),
        (error: Error) => (error.cause instanceof Error ? error.cause.message : error.message),
      )
      if (trouble === undefined) {
        say('healthy: a canary message has travelled MQTT → Kafka → gRPC → MQTT')
        return
      }
      if (performance.now() - told > 10_000) {
        told = performance.now()
        say(`not healthy yet: ${trouble.replaceAll(/\s+/g, ' ')}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
  }

  /** Gateways, routers, door, registry, Kafka. */
  async #stop(): Promise<void> {
    const rank = ({ name }: SupervisedProcess) => ['gateway', 'router', 'door', 'registry', 'kafka'].indexOf(name.replace(/-\d+$/, ''))
    for (const current of [0, 1, 2, 3, 4]) {
      const group = this.#processes.filter((one) => rank(one) === current)
      if (group.length > 0 && current !== 2 && current !== 3) this.#options.say(`stopping ${group.map(({ name }) => name).join(', ')} …`)
      await Promise.all(group.map((one) => one.stop()))
    }
    await this.#afterKafka?.()
    clearTimeout(this.#writeAgain)
    this.#processes.length = 0
    this.#writeProcesses()
    clearTimeout(this.#writeAgain)
    this.#guard.close()
    this.#folder.release()
  }
}
