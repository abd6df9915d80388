import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/wire/mosquitto.ts'
import { onPath, run } from '../../test/wire/programs.ts'
import { type BrokerKind, scratch, startProgram } from './broker.ts'

const source = join(import.meta.dirname, 'mochi')

/** Everything in memory, as its documentation starts it. */
export const mochi: BrokerKind = {
  name: 'mochi',
  missing: () => (onPath('go') ? null : 'Go is not installed'),
  async start() {
    const { folder, remove } = scratch('mochi')
    try {
      const program = join(folder, 'mochi')
      const { code, errors } = await run('go', ['build', '-C', source, '-o', program, '.'], { deadlineMs: 300_000 })
      if (code !== 0) throw new Error(`mochi could not be built: ${errors}`)
      const port = await freePort()
      const { child, stop } = await startProgram({ command: program, args: [`127.0.0.1:${port}`], port, deadlineMs: 20_000 })
      return {
        name: 'mochi',
        version: /mochi-mqtt\/server\/v2 v(\S+)/.exec(readFileSync(join(source, 'go.mod'), 'utf8'))?.[1] ?? '',
        durability: 'memory',
        port,
        pids: async () => ({ mochi: child.pid ?? 0 }),
        stop: async () => {
          await stop()
          remove()
        },
      }
    } catch (error) {
      remove()
      throw error
    }
  },
}
