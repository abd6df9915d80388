import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/wire/mosquitto.ts'
import { type BrokerKind, family, scratch, startProgram } from './broker.ts'

const command = '/usr/lib/rabbitmq/bin/rabbitmq-server'

/** With its MQTT plugin. Sessions that outlive their connection have durable queues, and those flush before PUBACK; others live in memory. */
export const rabbitmq: BrokerKind = {
  name: 'rabbitmq',
  missing: () => (existsSync(command) ? null : 'rabbitmq-server is not installed'),
  async start() {
    const { folder, remove } = scratch('rabbitmq')
    const [port, amqp, dist, epmd] = [await freePort(), await freePort(), await freePort(), await freePort()]
    writeFileSync(
      join(folder, 'rabbitmq.conf'),
      `listeners.tcp.local = 127.0.0.1:${amqp}
mqtt.listeners.tcp.1 = 127.0.0.1:${port}
mqtt.allow_anonymous = true
mqtt.default_user = guest
mqtt.default_pass = guest
mqtt.prefetch = 65535
vm_memory_high_watermark.relative = 0.6
`,
    )
    writeFileSync(join(folder, 'plugins'), '[rabbitmq_mqtt].\n')
    const { child, stop } = await startProgram({
      command,
      args: [],
      port,
      deadlineMs: 60_000,
      spawn: {
        env: {
          PATH: process.env.PATH,
          HOME: folder,
          RABBITMQ_NODENAME: `bench${port}@localhost`,
          RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
          RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
          RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
          RABBITMQ_LOG_BASE: join(folder, 'log'),
          RABBITMQ_PID_FILE: join(folder, 'pid'),
          RABBITMQ_DIST_PORT: String(dist),
          ERL_EPMD_PORT: String(epmd),
          ERL_EPMD_ADDRESS: '127.0.0.1',
        },
      },
    })
    return {
      name: 'rabbitmq',
      version: readdirSync('/usr/lib/rabbitmq/lib').join().replace('rabbitmq_server-', ''),
      durability: 'disk',
      port,
      load: { persistent: 'true' },
      pids: async () => Object.fromEntries(family(child.pid ?? 0).map((pid) => [`rabbitmq ${pid}`, pid])),
      stop: async () => {
        await stop()
        remove()
      },
    }
  },
}
