import { dirname } from 'node:path'
import { readConfig } from './config.ts'
import { machineProbes } from './kafka/probes.ts'
import { progress } from './progress.ts'
import { checkServiceSettings } from './setting-tables.ts'
import { stopRequests } from './stop-requests.ts'
import { Supervisor } from './supervisor.ts'

const project = dirname(import.meta.dirname)
const say = progress((text) => process.stdout.write(text))
// Someone who reads along may go away (npm start | head): that stops nothing.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

try {
  const stopped = stopRequests()
  const config = readConfig(process.env)
  await checkServiceSettings(project, process.env)
  const supervisor = new Supervisor({
    config,
    project,
    ...(process.env.LOGGERHEAD_SERVICES && { services: process.env.LOGGERHEAD_SERVICES }),
    environment: process.env,
    probes: machineProbes(project),
    say,
    stopped,
    node: process.execPath,
    nodeFlags: ['--disable-warning=ExperimentalWarning'],
    kafkaOnly: process.argv.includes('--kafka-only'),
  })
  await supervisor.run()
  say('stopped')
  process.exit(0)
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
