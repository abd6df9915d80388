#!/usr/bin/env node
// The command `loggerhead`: starts cli/main.ts with the Node that `npm start` uses. Plain JavaScript, because it runs on
// whatever Node (20 or newer) the machine has.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = dirname(dirname(fileURLToPath(import.meta.url)))
const node = join(project, 'node_modules/.bin/loggerhead-node')
if (!existsSync(node)) {
  const { status } = spawnSync(process.execPath, [join(project, 'stack/setup.mjs')], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
const child = spawn(node, [join(project, 'cli/main.ts'), ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('error', (error) => {
  process.stderr.write(`loggerhead: ${error.message}\n`)
  process.exit(1)
})
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)))
