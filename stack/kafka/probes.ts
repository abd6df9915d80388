import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { libraryFolder } from './artifacts.ts'
import type { Probes } from './choose.ts'
import { javaMajor, javaVersion } from './java.ts'

const run = promisify(execFile)

async function findJava(environment: NodeJS.ProcessEnv): Promise<{ java: string } | string> {
  const home = environment.JAVA_HOME
  const java = home && existsSync(join(home, 'bin/java')) ? join(home, 'bin/java') : 'java'
  try {
    const major = javaMajor(await javaVersion(java))
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
