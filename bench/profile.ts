/**
 * Where the CPU time of one load goes: puts it on Loggerhead under the profilers of Node and of the kernel, and prints the
 * functions that took most, process by process, and the threads: V8 marks and compiles beside the main one, where no profile of functions looks.
 *
 *   npm run bench:profile -- --only pairs-20 --seconds 10
 *
 * Leaves a .cpuprofile for each process in bench/results/profile/: flame graphs, for the browser's developer tools.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startLoggerhead } from './brokers/loggerhead.ts'
import { measure } from './measure.ts'
import { ownTimes, type Profile } from './own-times.ts'
import { threadsOf } from './process-times.ts'
import { scenarios } from './scenarios.ts'

const shown = 30
const threadsShown = 8
const folder = join(import.meta.dirname, 'results/profile')

const { values } = parseArgs({
  options: { only: { type: 'string', default: 'pairs-20' }, seconds: { type: 'string', default: '10' }, warmup: { type: 'string', default: '1' } },
})
const scenario = scenarios.find(({ name }) => name === values.only)
if (!scenario) throw new Error(`--only: “${values.only}” is none of ${scenarios.map(({ name }) => name).join(', ')}`)
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

const broker = await startLoggerhead({ NODE_OPTIONS: `--cpu-prof --cpu-prof-interval=500 --cpu-prof-dir=${folder}` })
const { kafka, gateway, router } = await broker.pids()
const processes = { kafka, gateway, router }
try {
  for (let round = 0; round < Number(values.warmup); round++) await measure(broker, scenario, 0, Number(values.seconds))
  const before = new Map(Object.entries(processes).map(([name, pid]) => [name, threadsOf(pid ?? 0)]))
  const { report, processes: used } = await measure(broker, scenario, 1, Number(values.seconds))
  const messages = Math.max(1, report.options.qos > 0 ? report.publish.acknowledged : report.publish.sent)
  process.stdout.write(`${scenario.about}: ${messages} messages, ${report.publish.rate} a second\n`)
  for (const [name, { cpuPerMessage, memory }] of Object.entries(used)) process.stdout.write(`  ${name}: ${cpuPerMessage} µs a message, ${memory} MiB\n`)
  for (const [service, pid] of Object.entries(processes)) {
    const byName = new Map<string, number>()
    for (const { id, name, cpu } of threadsOf(pid ?? 0)) {
      const earlier = before.get(service)?.find((each) => each.id === id)?.cpu ?? 0
      byName.set(name, (byName.get(name) ?? 0) + cpu - earlier)
    }
    process.stdout.write(`${service}, by thread:\n`)
    for (const [name, cpu] of [...byName].toSorted(([, a], [, b]) => b - a).slice(0, threadsShown))
      process.stdout.write(`  ${((cpu * 1e6) / messages).toFixed(2).padStart(6)} µs  ${name}\n`)
  }
} finally {
  await broker.stop()
}
for (const [name, pid] of Object.entries({ gateway, router })) {
  const file = readdirSync(folder).find((each) => each.split('.')[3] === String(pid))
  if (!file) continue
  const { functions, busyMs } = ownTimes(JSON.parse(readFileSync(join(folder, file), 'utf8')) as Profile)
  process.stdout.write(`${name} (${file}), own time of ${Math.round(busyMs)} ms busy:\n`)
  for (const { what, ms } of functions.slice(0, shown)) process.stdout.write(`  ${((100 * ms) / busyMs).toFixed(1).padStart(5)} %  ${what}\n`)
}
