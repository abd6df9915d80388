import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/wire/mosquitto.ts'
import { type BrokerKind, startProgram } from './broker.ts'

const manifest = join(import.meta.dirname, '../../node_modules/aedes/package.json')

export const aedes: BrokerKind = {
  name: 'aedes',
  missing: () => null,
  async start() {
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
    const port = await freePort()
    const args = [join(import.meta.dirname, 'aedes-server.mjs'), String(port)]
    const { child, stop } = await startProgram({ command: process.execPath, args, port, deadlineMs: 20_000 })
    return { name: 'aedes', version, durability: 'memory', port, pids: async () => ({ aedes: child.pid ?? 0 }), stop }
  },
}
