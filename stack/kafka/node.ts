import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freeBytes, fullDisk } from '../disk.ts'
import type { ProcessSpec } from '../supervised-process.ts'
import { askKafka } from './answers.ts'
import { artifactsFolder, libraryFolder } from './artifacts.ts'
import { javaVersion } from './java.ts'
import { log4jConfiguration, type NodeProperties, serverProperties } from './properties.ts'

const run = promisify(execFile)

export interface NodeOptions extends NodeProperties {
  readonly project: string
  readonly java: string
  /** Lines of Kafka's JVM options of the caller, e.g. a login configuration for SASL. */
  readonly javaOptions?: readonly string[]
  /** 22 characters of base64; random when it is formatted alone. */
  readonly clusterId?: string
}

/** A full disk, a port in use and a lost lock, in Kafka's words; undefined for anything else. */
export function explainKafkaLog(folder: string, log: string): string | undefined {
  if (/No space left on device|Disk quota exceeded/.test(log)) return `the disk that holds ${folder} is full`
  const bind = /(?:Socket server failed to bind to|Failed to bind to|bind.*?) ?(\S+:\d+).*Address already in use/s.exec(log)
  if (bind) return `${bind[1]?.replace(/\.$/, '')} is in use by another program`
  if (/Failed to acquire lock on file .lock/.test(log)) return `another Kafka uses ${folder}`
  if (/OutOfMemoryError/.test(log)) return 'it ran out of memory'
  return undefined
}

/**
 * A one-node Kafka from its jars: writes its settings, formats its folder when it is new, and says how to run it. The
 * classes it loads are archived when it first ends in good order, and mapped from the archive from then on (4 s → 2 s).
 */
export async function prepareNode(options: NodeOptions): Promise<ProcessSpec & { readonly afterStop: () => Promise<void> }> {
  const { project, java, folder, host, port, controllerPort, javaOptions = [], clusterId = randomBytes(16).toString('base64url') } = options
  await mkdir(folder, { recursive: true })
  const trouble = fullDisk(folder, freeBytes(folder))
  if (trouble) throw new Error(trouble)
  const settingsPath = join(folder, 'server.properties')
  const loggingPath = join(folder, 'log4j2.xml')
  await writeFile(settingsPath, serverProperties({ ...options, folder: join(folder, 'log') }))
  await writeFile(loggingPath, log4jConfiguration)

  const version = createHash('sha256')
    .update(await javaVersion(java))
    .digest('hex')
    .slice(0, 12)
  const archive = join(artifactsFolder(project), `classes-${version}.jsa`)
  const fresh = `${archive}.${process.pid}.new`
  const hasArchive = existsSync(archive)
  // Without the optimizing compiler: for its first minutes under load it takes as much CPU as Kafka itself, from everything else on a small machine.
  const common = ['-Xms256m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Dlog4j2.configurationFile=${loggingPath}`, ...javaOptions]
  const classes = ['-cp', join(libraryFolder(project), '*')]

  if (!existsSync(join(folder, 'log/meta.properties'))) {
    const share = hasArchive ? [`-XX:SharedArchiveFile=${archive}`] : []
    // One word: a random id may begin with a hyphen, which Kafka's tool would take for an option of its own.
    await run(java, [
      ...common,
      ...share,
      ...classes,
      'kafka.tools.StorageTool',
      'format',
      `--cluster-id=${clusterId}`,
      '-c',
      settingsPath,
      '--ignore-formatted',
    ]).catch((error: Error & { stdout?: string; stderr?: string }) => {
      const output = `${error.stdout ?? ''}${error.stderr ?? ''}`
      throw new Error(`Kafka's folder ${folder} could not be formatted: ${explainKafkaLog(folder, output) ?? output.trim().split('\n').at(-1)}`)
    })
  }
  return {
    name: 'kafka',
    command: java,
    args: [
      ...common,
      '-Xlog:cds=off',
      '-Xlog:cds+dynamic=off',
      '-Xshare:auto',
      hasArchive ? `-XX:SharedArchiveFile=${archive}` : `-XX:ArchiveClassesAtExit=${fresh}`,
      ...classes,
      'kafka.Kafka',
      settingsPath,
    ],
    environment: process.env,
    ports: { kafka: port, controller: controllerPort },
    ready: () => askKafka(host, port, 1_000),
    stopMs: 20_000,
    // On a full disk its log may have found no room either.
    explain: (log) => fullDisk(folder, freeBytes(folder)) ?? explainKafkaLog(folder, log),
    afterStop: async () => {
      // Only an archive that was written to its end gets the name that is used.
      if (!hasArchive && existsSync(fresh)) await (existsSync(archive) ? rm(fresh, { force: true }) : rename(fresh, archive))
    },
  }
}
