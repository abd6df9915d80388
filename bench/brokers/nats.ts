import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/wire/mosquitto.ts'
import { onPath } from '../../test/wire/programs.ts'
import { type BrokerKind, scratch, startProgram } from './broker.ts'

/** JetStream in files, as it comes: written to the page cache before PUBACK, flushed every two minutes. */
export const nats: BrokerKind = {
  name: 'nats-server',
  missing: () => (onPath('nats-server') ? null : 'nats-server is not installed'),
  async start() {
    const command = onPath('nats-server') as string
    const { folder, remove } = scratch('nats')
    const port = await freePort()
    const config = join(folder, 'nats.conf')
    writeFileSync(
      config,
      `server_name: bench
host: 127.0.0.1
port: ${await freePort()}
jetstream { store_dir: "${folder}/store" }
mqtt { host: 127.0.0.1, port: ${port}, max_ack_pending: 65535 }
`,
    )
    const { child, stop } = await startProgram({ command, args: ['-c', config], port, deadlineMs: 20_000 })
    return {
      name: 'nats-server',
      version: /: v?(\S+)/.exec(spawnSync(command, ['--version'], { encoding: 'utf8' }).stdout)?.[1] ?? '',
      durability: 'page cache',
      port,
      pids: async () => ({ 'nats-server': child.pid ?? 0 }),
      stop: async () => {
        await stop()
        remove()
      },
    }
  },
}
