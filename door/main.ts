import { partitionOf } from '../log/partitioner.ts'
import { SettingError } from '../settings/setting.ts'
import { openLogger } from '../telemetry/logger.ts'
import { readConfig } from './config.ts'
import { PortError, startDoor } from './process.ts'

const logger = openLogger('door', undefined, process.env)

// The supervisor is gone: nobody would stop this process any more.
process.on('disconnect', () => process.exit(0))

try {
  const door = await startDoor({ config: readConfig(process.env), logger, partitionOf })
  const stop = (signal: string): void => {
    logger.info({ signal }, 'stopping')
    door.close().then(
      () => process.exit(0),
      (error) => {
        logger.fatal({ error }, 'could not stop orderly')
        process.exit(1)
      },
    )
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  logger.info({ ports: door.ports }, 'the front door is open')
  process.send?.({ ready: true, ports: door.ports })
} catch (error) {
  // A wrong setting or a port in use is named; anything else shows where it came from.
  logger.fatal({ error }, error instanceof SettingError || error instanceof PortError ? error.message : 'the front door could not be opened')
  process.exit(1)
}
