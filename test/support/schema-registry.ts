import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { whyMavenFailed } from '../../stack/kafka/artifacts.ts'
import { machineProbes } from '../../stack/kafka/probes.ts'
import { findFreePorts } from '../../stack/ports.ts'
import { until } from './stack.ts'

/** Apicurio Registry: a real schema registry that speaks Confluent's API, keeping everything in memory. */

const run = promisify(execFile)
const project = dirname(dirname(import.meta.dirname))
const version = '2.6.13.Final'
const folder = join(project, '.kafka', `apicurio-${version}`)
const jar = join(folder, `apicurio-registry-app-${version}-runner.jar`)

export interface SchemaRegistry {
  /** For SCHEMA_REGISTRY_URL. */
  readonly url: string
  stop(): Promise<void>
}

/** Fetches it from Maven Central unless it is here, as Kafka's jars are; or says why it cannot run. */
export async function schemaRegistry(): Promise<{ start(): Promise<SchemaRegistry> } | { readonly missing: string }> {
  const probes = machineProbes(project)
  const java = await probes.java()
  if (typeof java === 'string') return { missing: java }
  if (!existsSync(jar)) {
    const maven = await probes.maven()
    if (typeof maven === 'string') return { missing: maven }
    const why = await fetchServer(maven.maven)
    if (why !== undefined) return { missing: `Apicurio Registry ${version} could not be fetched from Maven Central (${why})` }
  }
  return { start: () => start(java.java) }
}

async function fetchServer(maven: string): Promise<string | undefined> {
  await mkdir(dirname(folder), { recursive: true })
  const work = await mkdtemp(`${folder}-`)
  const args = ['-B', 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack']
  try {
    await run(maven, [...args, `-Dartifact=io.apicurio:apicurio-registry-app:${version}:tar.gz:all`, `-DoutputDirectory=${work}`], {
      cwd: work,
      timeout: 300_000,
      maxBuffer: 16 << 20,
    })
    await rename(work, folder)
    return undefined
  } catch (error) {
    if (existsSync(jar)) return undefined // another run was faster
    return whyMavenFailed((error as { readonly stdout?: string }).stdout ?? (error as Error).message)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function start(java: string): Promise<SchemaRegistry> {
  const [port = 0] = await findFreePorts(1)
  const child = spawn(java, ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-jar', jar], {
    env: { ...process.env, QUARKUS_HTTP_HOST: '127.0.0.1', QUARKUS_HTTP_PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-8_000)
    })
  const ended = once(child, 'exit')
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await ended
  }
  await until('the schema registry answers', 120_000, async () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${output}`)
    const response = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(5_000) }).catch(() => null)
    return response?.status === 200
  }).catch(async (error: Error) => {
    await stop()
    throw error
  })
  return { url, stop }
}
