import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The Kafka that Loggerhead runs itself. The Docker image of the same version is used where there is no Java. */
export const kafkaVersion = '4.3.1'
const log4jVersion = '2.25.3'

/** Where the jars are kept: in the project folder, shared by every stack that is started from it. */
export function artifactsFolder(project: string): string {
  return join(project, '.kafka', kafkaVersion)
}

export function libraryFolder(project: string): string {
  return join(artifactsFolder(project), 'lib')
}

/** Kafka's own dependencies and a backend for its logging, which its POM leaves out. Every version is pinned. */
export const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>loggerhead</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <build><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version>
  </plugin></plugins></build>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${kafkaVersion}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>${log4jVersion}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>${log4jVersion}</version></dependency>
  </dependencies>
</project>
`

/** The artifacts could not be fetched; the message says what, why and what else would do. */
export class FetchError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'FetchError'
  }
}

/** The lines of Maven's output that say why it failed. */
export function whyMavenFailed(output: string): string {
  const errors = output
    .split('\n')
    .filter((line) => line.startsWith('[ERROR]'))
    .map((line) => line.slice('[ERROR]'.length).trim())
    .filter((line) => line !== '' && !/^(To see the full|Re-run Maven|For more information|\[Help)/.test(line))
  return errors[0]?.replace(/ -> \[Help.*$/, '').slice(0, 600) ?? (output.trim().split('\n').at(-1) || 'no output')
}

export interface FetchOptions {
  readonly project: string
  readonly say: (line: string) => void
  /** Maven's program. */
  readonly maven?: string
  /** Stops the fetch. */
  readonly signal?: AbortSignal
}

/** Fetches Kafka's jars from Maven Central unless they are there. Whole or not at all: the folder appears when it is complete. */
export async function fetchArtifacts({ project, say, maven = 'mvn', signal }: FetchOptions): Promise<string> {
  const library = libraryFolder(project)
  if (existsSync(library)) return library
  const folder = artifactsFolder(project)
  await mkdir(folder, { recursive: true })
  const work = await mkdtemp(join(folder, 'fetching-'))
  try {
    await writeFile(join(work, 'pom.xml'), pom)
    await copyDependencies(maven, work, say, signal)
    await rename(join(work, 'lib'), library).catch((error: unknown) => {
      if (!existsSync(library)) throw error // another stack was faster: its jars are the same
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return library
}

function copyDependencies(maven: string, work: string, say: (line: string) => void, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = ['-B', '-f', 'pom.xml', 'dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=lib']
    const process = spawn(maven, args, { cwd: work, stdio: ['ignore', 'pipe', 'pipe'], ...(signal && { signal }) })
    let output = ''
    let files = 0
    for (const stream of [process.stdout, process.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-100_000)
        files += text.split('Downloaded from ').length - 1
      })
    }
    const progress = setInterval(() => say(`still fetching Kafka from Maven Central${files > 0 ? `, ${files} files so far` : ''}`), 5_000)
    const fail = (why: string) => reject(new FetchError(`Kafka ${kafkaVersion} could not be fetched from Maven Central (${why})`))
    process.on('error', (error) => {
      clearInterval(progress)
      fail(error.message)
    })
    process.on('close', (code) => {
      clearInterval(progress)
      if (code === 0) resolve()
      else fail(whyMavenFailed(output))
    })
  })
}
