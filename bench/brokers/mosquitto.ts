import { spawnSync } from 'node:child_process'
import { Mosquitto } from '../../test/wire/mosquitto.ts'
import { onPath } from '../../test/wire/programs.ts'
import type { BrokerKind } from './broker.ts'

export const mosquitto: BrokerKind = {
  name: 'mosquitto',
  missing: () => (Mosquitto.isInstalled ? null : 'mosquitto is not installed'),
  async start() {
    const broker = await Mosquitto.start()
    const help = spawnSync(onPath('mosquitto') ?? 'mosquitto', ['-h'], { encoding: 'utf8' }).stdout
    return {
      name: 'mosquitto',
      version: /version (\S+)/.exec(help)?.[1] ?? '',
      durability: 'memory',
      port: broker.endpoint.port,
      pids: async () => ({ mosquitto: broker.pid }),
      stop: () => broker.stop(),
    }
  },
}
