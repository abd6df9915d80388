/** The topics of the namespace that a command is about. */
import { registryAt } from '../history/past-registry.ts'
import { type Log, NotAuthorized } from '../log/log.ts'
import { type TopicNames, topicNames, topicSettings } from '../log/topics.ts'
import { lifeName } from '../model/namespaces.ts'
import { readSettings } from '../settings/setting.ts'
import { firstAnswer } from './first-answer.ts'
import type { Surroundings } from './surroundings.ts'

/**
 * Of one that was deleted and made again, those of its life now, which the home namespace's registry names; where that is not there or may not be read,
 * those of its first life. Throws Failure where Kafka does not answer.
 */
export async function namespaceTopics(log: Log, { config, environment, home }: Pick<Surroundings, 'config' | 'environment' | 'home'>): Promise<TopicNames> {
  const prefix = readSettings(topicSettings, environment).LOGGERHEAD_PREFIX
  const first = topicNames(prefix, config.namespace)
  if (config.namespace === home) return first
  try {
    const names = topicNames(prefix, home)
    if (!(await firstAnswer(log, log.topicExists(names.registry), 'KAFKA_BROKERS'))) return first
    const { view } = await registryAt(log, names, { at: Number.POSITIVE_INFINITY, registry: Number.POSITIVE_INFINITY }, { now: Date.now() })
    const entry = view.namespaces.get(config.namespace)
    return entry ? topicNames(prefix, lifeName(entry)) : first
  } catch (error) {
    if (error instanceof NotAuthorized) return first
    throw error
  }
}
