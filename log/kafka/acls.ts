/** What each service may do at Kafka, and needs to: the source of docs/kafka-acls.md, held by a test on a broker that denies the rest. */
import { namespaceTopicName, type TopicNames } from '../topics.ts'

export interface AclRule {
  readonly resource: 'Topic' | 'Group' | 'TransactionalId'
  readonly name: string
  readonly pattern: 'literal' | 'prefixed'
  /** As Kafka names them; Read and Write include Describe. */
  readonly operations: readonly ('Read' | 'Write' | 'Create' | 'Delete' | 'AlterConfigs' | 'Describe' | 'DescribeConfigs')[]
  readonly why: string
}

export const kafkaPrincipals = ['gateway', 'router', 'registry', 'setup', 'analyst'] as const
export type KafkaPrincipal = (typeof kafkaPrincipals)[number]

/** The rules of one namespace, by who needs them. */
export function kafkaAcls(names: TopicNames): Readonly<Record<KafkaPrincipal, readonly AclRule[]>> {
  const namespace = names.messages.slice(0, -'messages'.length)
  const topic = (name: string, operations: AclRule['operations'], why: string): AclRule => ({ resource: 'Topic', name, pattern: 'literal', operations, why })
  const eventTopics = (operations: AclRule['operations'], why: string): AclRule => ({
    resource: 'Topic',
    name: namespaceTopicName({ names }, ''),
    pattern: 'prefixed',
    operations,
    why,
  })
  const startChecks: AclRule = {
    resource: 'Topic',
    name: namespace,
    pattern: 'prefixed',
    operations: ['Describe', 'DescribeConfigs'],
    why: 'partitions, leaders, and the checks of retention and durability at the start',
  }
  return {
    gateway: [
      startChecks,
      topic(names.messages, ['Write'], 'every accepted PUBLISH'),
      topic(names.sessions, ['Write'], 'attach, subscribe, unsubscribe, detach'),
      topic(names.gateways, ['Read', 'Write'], 'says that it is up, and under which incarnation'),
      topic(names.registry, ['Read'], 'its view of clients, groups, topic spaces and permissions'),
      topic(names['registry-snapshots'], ['Read'], 'where that view begins'),
      topic(names.lifecycle, ['Write'], 'what it refused'),
      topic(names.keys, ['Read', 'Write'], 'keys that messages are sealed with'),
      topic(names.receipts, ['Write'], 'what became of deliveries, where that is to be noted'),
      eventTopics(['Write'], 'events published over HTTP'),
    ],
    router: [
      startChecks,
      topic(names.messages, ['Read', 'Write'], 'matches messages; publishes wills'),
      topic(names.index, ['Read', 'Write'], 'what stretches of messages may hold: written as they are matched, read for replays'),
      topic(names.sessions, ['Read', 'Write'], 'folds sessions; ends them, and detaches the clients of lost gateways'),
      topic(names.inbox, ['Read', 'Write'], 'the journal of what is owed'),
      topic(names.snapshots, ['Read', 'Write'], "a shard's folded state"),
      topic(names.checkpoints, ['Read', 'Write'], "a shard's state of the past, now and then"),
      topic(names.retained, ['Read', 'Write'], 'retained messages'),
      topic(names.deliveries, ['Read', 'Write'], 'what event subscriptions owe'),
      topic(names.lifecycle, ['Read', 'Write'], 'connected and disconnected; reads them for their event subscriptions'),
      topic(names.audit, ['Read', 'Write'], 'checkpoints of the chains of hashes'),
      topic(names.registry, ['Read'], 'its view of permissions'),
      topic(names['registry-snapshots'], ['Read'], 'where that view begins'),
      topic(names.gateways, ['Read'], 'where gateways listen'),
      topic(names.keys, ['Read'], 'opens what is sealed, for routes that are to (sealed: open)'),
      eventTopics(['Read', 'Write'], 'reads events for their subscriptions; routes messages, and writes dead letters'),
      { resource: 'Group', name: `${names.messages}.router`, pattern: 'literal', operations: ['Read'], why: 'shares out the shards' },
      { resource: 'Group', name: namespaceTopicName({ names }, ''), pattern: 'prefixed', operations: ['Read'], why: 'tells how far event subscriptions are' },
      { resource: 'TransactionalId', name: namespace, pattern: 'prefixed', operations: ['Write'], why: 'fences the former owner of a shard' },
    ],
    registry: [
      startChecks,
      topic(names.registry, ['Read', 'Write'], 'the resources'),
      topic(names['registry-snapshots'], ['Read', 'Write'], 'what they were now and then, so that a start need not read every change'),
      topic(names.messages, ['Read'], 'the past, for who asks over HTTP'),
      topic(names.index, ['Read'], 'which of it to pass over'),
      topic(names.checkpoints, ['Read'], 'the state of the past, likewise'),
      topic(names.sessions, ['Read'], 'what came after it'),
      topic(names.inbox, ['Read'], 'what came after it'),
      topic(names.receipts, ['Read'], 'what became of deliveries'),
      topic(names.lifecycle, ['Read', 'Write'], 'what changed, and what was changed before'),
      topic(names.keys, ['Read', 'Write'], 'opens the past that is sealed; destroys keys'),
      eventTopics(
        ['Create', 'Delete', 'Describe', 'DescribeConfigs', 'AlterConfigs'],
        'makes namespace topics, sets their retention, and deletes them on demand',
      ),
      { resource: 'TransactionalId', name: namespace, pattern: 'prefixed', operations: ['Write'], why: 'fences a former registry' },
    ],
    setup: [
      {
        resource: 'Topic',
        name: namespace,
        pattern: 'prefixed',
        operations: ['Create', 'Describe', 'DescribeConfigs', 'AlterConfigs'],
        why: 'makes the topics, and has them kept for longer when HISTORY_WINDOW is; give it to whichever service is started first, or make them beforehand',
      },
    ],
    analyst: [
      topic(names.messages, ['Read'], 'every accepted PUBLISH'),
      topic(names.lifecycle, ['Read'], 'who was connected when, what changed, what was refused'),
      topic(names.receipts, ['Read'], 'what became of deliveries'),
      topic(names.audit, ['Read'], 'that none of it was changed; sessions and inbox too where they have chains'),
      { resource: 'Group', name: 'analytics', pattern: 'prefixed', operations: ['Read'], why: 'groups of its own' },
    ],
  }
}
