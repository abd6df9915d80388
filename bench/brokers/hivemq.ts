import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { artifactsFolder } from '../../stack/kafka/artifacts.ts'
import { freePort } from '../../test/wire/mosquitto.ts'
import { onPath, run } from '../../test/wire/programs.ts'
import { type BrokerKind, scratch, startProgram } from './broker.ts'

const version = '2025.5'
const project = join(import.meta.dirname, '../..')

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>loggerhead</groupId><artifactId>hivemq</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>com.hivemq</groupId><artifactId>hivemq-community-edition-embedded</artifactId><version>${version}</version></dependency>
  </dependencies>
</project>
`

/** Its jars, from Maven Central unless they are there; beside Kafka's. */
async function jars(): Promise<string> {
  const folder = join(dirname(artifactsFolder(project)), `hivemq-${version}`)
  if (existsSync(folder)) return folder
  const { folder: work, remove } = scratch('hivemq-jars')
  try {
    writeFileSync(join(work, 'pom.xml'), pom)
    const copy = ['-q', '-B', '-f', join(work, 'pom.xml'), 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies']
    const library = `${folder}.new`
    rmSync(library, { recursive: true, force: true })
    const { code, errors, output } = await run('mvn', [...copy, '-DincludeScope=runtime', `-DoutputDirectory=${library}`], { deadlineMs: 300_000 })
    if (code !== 0) throw new Error(`HiveMQ CE could not be fetched: ${errors || output}`)
    renameSync(library, folder)
  } finally {
    remove()
  }
  return folder
}

/** What it reaches for of Java's own, as its documentation lists it. */
const opened = ['java.base/java.lang', 'java.base/java.nio', 'java.base/sun.nio.ch', 'jdk.management/com.sun.management.internal']

/** With its file persistence, which flushes behind the acknowledgement: that holds for sessions that outlive their connection. */
export const hivemq: BrokerKind = {
  name: 'hivemq',
  missing: () => (onPath('javac') && onPath('mvn') ? null : 'it takes a Java development kit and Maven'),
  async start() {
    const library = await jars()
    const { folder, remove } = scratch('hivemq')
    const port = await freePort()
    for (const name of ['conf', 'data', 'extensions']) mkdirSync(join(folder, name))
    writeFileSync(
      join(folder, 'conf/config.xml'),
      `<hivemq>
  <listeners><tcp-listener><port>${port}</port><bind-address>127.0.0.1</bind-address></tcp-listener></listeners>
  <mqtt>
    <queued-messages><max-queue-size>1000000</max-queue-size></queued-messages>
    <receive-maximum><server-receive-maximum>65535</server-receive-maximum></receive-maximum>
  </mqtt>
  <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>
</hivemq>
`,
    )
    const flags = ['-Xmx1g', ...opened.flatMap((name) => ['--add-opens', `${name}=ALL-UNNAMED`]), '--add-exports', 'java.base/jdk.internal.misc=ALL-UNNAMED']
    const folders = ['conf', 'data', 'extensions'].map((name) => join(folder, name))
    const { child, stop } = await startProgram({
      command: 'java',
      args: [...flags, '-cp', join(library, '*'), join(import.meta.dirname, 'hivemq/BenchBroker.java'), ...folders],
      spawn: { cwd: folder },
      port,
      deadlineMs: 120_000,
    }).catch((error: Error) => {
      remove()
      throw error
    })
    return {
      name: 'hivemq',
      version: `CE ${version}`,
      durability: 'page cache',
      port,
      load: { persistent: 'true' },
      pids: async () => ({ hivemq: child.pid ?? 0 }),
      stop: async () => {
        await stop()
        remove()
      },
    }
  },
}
