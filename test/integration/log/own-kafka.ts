/** A Kafka that a test may kill, freeze and restart, unlike the one all tests share: from the artifacts, on ports of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { askPort } from '../../../stack/kafka/answers.ts'
import { fetchArtifacts } from '../../../stack/kafka/artifacts.ts'
import { chooseForTests } from '../../../stack/kafka/choose.ts'
import { prepareNode } from '../../../stack/kafka/node.ts'
import { machineProbes } from '../../../stack/kafka/probes.ts'
import { findFreePorts } from '../../../stack/ports.ts'
import { endOf, fallsSilent, speaks } from '../../support/last-words.ts'

const project = dirname(dirname(dirname(import.meta.dirname)))

/** The Java to run it with, or why there is none. */
export async function findJava(): Promise<{ readonly java: string; readonly maven?: string } | string> {
  const probes = machineProbes(project)
  const choice = await chooseForTests(undefined, { ...probes, engine: async () => 'a broker to kill is no container' })
  return choice.kind === 'artifacts' ? choice : choice.kind === 'none' ? choice.missing : choice.kind
}

export interface OwnKafkaOptions {
  readonly more?: (ports: { readonly port: number; readonly controllerPort: number; readonly folder: string }) => Readonly<Record<string, string>>
  readonly javaOptions?: readonly string[]
  /** 22 characters of base64, for nodes of one cluster. */
  readonly clusterId?: string
  /** Called with the new folder before the node is prepared. */
  readonly prepare?: (folder: string) => Promise<void>
}

export class OwnKafka {
  readonly brokers: string
  readonly folder: string
  readonly #command: string
  readonly #args: readonly string[]
  #process: ChildProcess | null = null
  #output = ''
  readonly #endWithUs = (): void => {
    this.#process?.kill('SIGKILL')
  }

  private constructor(brokers: string, folder: string, command: string, args: readonly string[]) {
    this.brokers = brokers
    this.folder = folder
    this.#command = command
    this.#args = args
    speaks(this, () => `--- Kafka at ${brokers}\n${endOf(this.#output, 25)}`)
  }

  static async start(options: OwnKafkaOptions = {}): Promise<OwnKafka> {
    const found = await findJava()
    if (typeof found === 'string') throw new Error(found)
    await fetchArtifacts({ project, say: () => {}, ...(found.maven !== undefined && { maven: found.maven }) })
    const folder = await mkdtemp(join(tmpdir(), 'loggerhead-own-kafka-'))
    const [port = 0, controllerPort = 0] = await findFreePorts(2)
    await options.prepare?.(folder)
    const { command, args } = await prepareNode({
      project,
      java: found.java,
      folder,
      host: '127.0.0.1',
      port,
      controllerPort,
      flushEveryAppend: false,
      javaOptions: options.javaOptions ?? [],
      ...(options.clusterId !== undefined && { clusterId: options.clusterId }),
      more: options.more?.({ port, controllerPort, folder }) ?? {},
    })
    // An archive of classes is for orderly ends: this one is killed.
    const kafka = new OwnKafka(
      `127.0.0.1:${port}`,
      folder,
      command,
      args.filter((arg) => !arg.startsWith('-XX:ArchiveClassesAtExit')),
    )
    await kafka.up()
    return kafka
  }

  /** Starts it, and waits until its port answers. */
  async up(): Promise<void> {
    const process_ = spawn(this.#command, this.#args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#process = process_
    process.off('exit', this.#endWithUs).on('exit', this.#endWithUs)
    for (const stream of [process_.stdout, process_.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.#output = (this.#output + text).slice(-20_000)
      })
    }
    const [host = '', port = ''] = this.brokers.split(':')
    const end = Date.now() + 60_000
    while (await askPort(host, Number(port), 500)) {
      if (process_.exitCode !== null || Date.now() > end) throw new Error(`Kafka did not start:\n${this.#output}`)
      await delay(50)
    }
  }

  get output(): string {
    return this.#output
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#signal('SIGKILL')
  }

  /** Holds it, sockets open. */
  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    await this.#signal('SIGKILL')
    process.off('exit', this.#endWithUs)
    fallsSilent(this)
    await rm(this.folder, { recursive: true, force: true })
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    const process_ = this.#process
    if (!process_ || process_.exitCode !== null || process_.signalCode !== null) return
    const gone = once(process_, 'exit')
    process_.kill(signal)
    await gone
  }
}

/** Waits for a condition, and fails with its name. */
export async function until(what: string, isTrue: () => boolean, deadlineMs = 60_000): Promise<void> {
  const end = Date.now() + deadlineMs
  while (!isTrue()) {
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await delay(5)
  }
}
