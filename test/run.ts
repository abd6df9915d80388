/**
 * `npm test`: brings up one real Kafka, runs the suites in stages, quick ones first, and ends with one line of counts.
 * Arguments are passed on to jest: `npm test -- test/unit/mqtt`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { progress } from '../stack/progress.ts'
import { stopRequests } from '../stack/stop-requests.ts'
import { addUp, type Counts, countsOf, finalLine, type JestReport, noCounts } from './support/counts.ts'
import { startTestKafka, type TestKafka } from './support/kafka.ts'
import { stages } from './support/stages.ts'

const project = dirname(import.meta.dirname)
const say = progress((text) => process.stdout.write(text))
const stopped = stopRequests()
let running: ChildProcess | undefined
stopped.addEventListener('abort', () => running?.kill('SIGTERM'))

async function runJest(folders: readonly string[], workers: number, brokers: string | undefined, work: string, args: readonly string[]): Promise<Counts> {
  const report = join(work, `${Math.random().toString(36).slice(2)}.json`)
  const jest = spawn(
    process.execPath,
    [
      ...['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', join(project, 'node_modules/jest/bin/jest.js')],
      ...['--json', `--outputFile=${report}`, '--passWithNoTests', `--maxWorkers=${workers}`],
      ...args,
      ...folders,
    ],
    // Without --json's copy of the report on standard output; what tests print and jest's progress go to standard error.
    // The processes that tests start, hundreds in all, find what the first of them have compiled.
    {
      cwd: project,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, NODE_COMPILE_CACHE: join(work, 'compiled'), ...(brokers && { KAFKA_BROKERS: brokers }) },
    },
  )
  running = jest
  const code = await new Promise<number | null>((resolve) => jest.on('exit', resolve))
  running = undefined
  try {
    return countsOf(JSON.parse(await readFile(report, 'utf8')) as JestReport)
  } catch {
    return { ...noCounts, failed: 1, failures: [`jest ended with ${code} and without a report (${folders.join(', ')})`] }
  }
}

async function main(args: readonly string[]): Promise<Counts> {
  const work = await mkdtemp(join(tmpdir(), 'loggerhead-test-'))
  let total = noCounts
  let kafka: TestKafka | undefined
  try {
    for (const stage of stages(join(project, 'test'))) {
      const folders = stage.folders.map((folder) => `test/${folder}/`).filter((folder) => existsSync(join(project, folder)))
      // Named files: a stage that has none of them is passed over, and brings up no Kafka.
      const named = args.filter((arg) => !arg.startsWith('-'))
      const chosen =
        named.length === 0 ? folders : named.filter((name) => folders.some((folder) => name.startsWith(folder.slice(0, -1)) || folder.startsWith(name)))
      if (chosen.length === 0 || stopped.aborted) continue
      if (stage.kafka && kafka === undefined) {
        try {
          kafka = await startTestKafka(say)
          say(`Kafka for the tests: ${kafka.origin}, at ${kafka.brokers}`)
        } catch (error) {
          say((error as Error).message)
          total = addUp(total, { ...noCounts, failed: 1, failures: [`no Kafka for the tests: ${(error as Error).message}`] })
          break
        }
      }
      say(`${stage.name}: ${chosen.join(' ')}`)
      total = addUp(
        total,
        await runJest(
          chosen,
          stage.workers,
          stage.kafka ? kafka?.brokers : undefined,
          work,
          args.filter((arg) => arg.startsWith('-')),
        ),
      )
    }
    if (stopped.aborted) total = addUp(total, { ...noCounts, failed: 1, failures: ['stopped before the end'] })
    return total
  } finally {
    // Of the Kafka that the tests shared, which no single one of them speaks for.
    if (total.failed > 0) process.stderr.write(`${kafka?.lastWords() ?? ''}\n`)
    await kafka?.stop()
    await rm(work, { recursive: true, force: true, maxRetries: 5 })
  }
}

const total = await main(process.argv.slice(2))
for (const failure of total.failures) process.stdout.write(`failed: ${failure}\n`)
const reasons = new Map<string, number>()
for (const { reason } of total.skips) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
for (const [reason, count] of reasons) process.stdout.write(`skipped (${count}): ${reason}\n`)
process.stdout.write(`${finalLine(total)}\n`)
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0)
