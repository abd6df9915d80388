import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { libraryFolder } from './artifacts.ts'
import type { Probes } from './choose.ts'

const run = promisify(execFile)

/** The major version in what `java -version` prints: 17 from `openjdk version "17.0.15"`, 8 from `"1.8.0_392"`. */
export function javaMajor(output: string): number | undefined {
  const [, first, second] = /version "(\d+)(?:\.(\d+))?/.exec(output) ?? []
  if (first === undefined) return undefined
  return first === '1' ? Number(second) : Number(first)
}

async function findJava(environment: NodeJS.ProcessEnv): Promise<{ java: string } | string> {
  const home = environment.JAVA_HOME
  const java = home && existsSync(join(home, 'bin/java')) ? join(home, 'bin/java') : 'java'
  try {
    const { stdout, stderr } = await run(java, ['-version'], { timeout: 20_000 })
    const major = javaMajor(stdout + stderr)
    if (major === undefined) return `the version of ${java} cannot be told`
    return major >= 17 ? { java } : `Java is ${major} and Kafka needs 17`
  } catch {
    return 'there is no Java' // macOS has a `java` that only says so, with exit code 1
  }
}

async function findMaven(): Promise<{ maven: string } | string> {
  try {
    await run('mvn', ['--version'], { timeout: 20_000 })
    return { maven: 'mvn' }
  } catch {
    return 'there is no Maven to fetch Kafka with'
  }
}

async function askEngine(): Promise<true | string> {
  try {
    const { stdout } = await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 10_000 })
    return stdout.trim() === '' ? 'no Docker engine answers' : true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no Docker' : 'no Docker engine answers'
  }
}

/** What this machine has. */
export function machineProbes(project: string, environment: NodeJS.ProcessEnv = process.env): Probes {
  return {
    java: () => findJava(environment),
    hasArtifacts: () => existsSync(libraryFolder(project)),
    maven: findMaven,
    engine: askEngine,
  }
}
