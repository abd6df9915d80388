/** Kafka, for commands that read and write it themselves. */
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { kafkaConnection, kafkaSettings } from '../log/kafka/connection-settings.ts'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { readSettings } from '../settings/setting.ts'
import type { Surroundings } from './surroundings.ts'

/** Kafka as the environment says. */
export function openLog(environment: Surroundings['environment']): KafkaLog {
  const connection = kafkaConnection(readSettings(kafkaSettings, environment))
  return new KafkaLog({ ...connection, clientId: `loggerhead-cli-${process.pid}`, logger: pino({ level: 'silent' }), metrics: new Registry() })
}
