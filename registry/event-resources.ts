/** What putting and deleting namespace topics, event subscriptions and routes takes besides the record: Kafka topics, and what goes with them. */
import { splitSubscriptionName, subscribedTopic, type WebhookConsent } from '../model/event-subscriptions.ts'
import type { Resource, ResourceKind } from '../model/registry-resources.ts'
import type { Command } from './command.ts'
import { deadLetterTopicOf, webhookOf } from './event-subscription-rules.ts'
import type { ServedNamespace } from './namespaces.ts'
import { Problem } from './problem.ts'
import { deleteCommand, notFound } from './resources.ts'
import { type Found, subscriptionsOf } from './rules.ts'

type Json = Readonly<Record<string, unknown>>

/** What has to be known before the resource can be decided. Rejects with Problem. */
export async function findForPut(kind: ResourceKind, name: string, properties: Json, { registry, eventTopics }: ServedNamespace): Promise<Found> {
  if (kind === 'topics') {
    const partitions = registry.view.topics.get(name)?.properties.partitions
    return { partitions: partitions ?? (await eventTopics.partitionsOf(name, properties.partitions as number | undefined)) }
  }
  if (kind === 'routes') {
    const { kafkaTopic } = (properties.target ?? {}) as { readonly kafkaTopic?: string }
    if (kafkaTopic !== undefined) eventTopics.checkRouteTarget(kafkaTopic)
    // Also of one that is there: it may be deleted before this is decided, and then a new one begins.
    return { messagesEnd: await eventTopics.messagesEnd() }
  }
  if (kind === 'namespace') {
    const { routeTopicResourceId } = (properties.topicSpacesConfiguration ?? {}) as { readonly routeTopicResourceId?: string }
    return routeTopicResourceId === undefined ? {} : { messagesEnd: await eventTopics.messagesEnd() }
  }
  if (kind !== 'eventSubscriptions') return {}
  const { topic } = splitSubscriptionName(name)
  if (!subscribedTopic(registry.view, topic)) throw notFound('topics', topic)
  const deadLetters = deadLetterTopicOf(properties)
  if (deadLetters !== undefined) await eventTopics.checkDeadLetters(deadLetters, topic)
  // Also of one that is there: it may be deleted before this is decided, and then a new one must not begin where that one did.
  return { start: await eventTopics.startHere(topic) }
}

/** Asks a webhook whether it wants events; rejects with Problem when it does not say so. */
export type AskWebhook = (at: ServedNamespace, url: string, perMinute: number | null) => Promise<WebhookConsent>

/**
 * The word of the webhook that a subscription names, if it has to be asked: when the subscription is new, or its URL is (PU-02);
 * `kept` when it has given it. Rejects with Problem.
 */
export async function findConsent(command: Command, at: ServedNamespace, ask: AskWebhook): Promise<WebhookConsent | 'kept' | undefined> {
  if (command.kind !== 'eventSubscriptions') return undefined
  const { properties } = at.registry.preview(command).after as Resource<'eventSubscriptions'>
  const webhook = webhookOf(properties)
  if (!webhook) return undefined
  if (properties.consent) return 'kept'
  return ask(at, webhook.properties.endpointUrl, webhook.properties.maxRequestsPerMinute ?? null)
}

/** A topic's resource is never there without its Kafka topic: that comes first. Rejects with Problem. */
export async function beforePut(command: Command, { registry, eventTopics }: ServedNamespace): Promise<void> {
  if (command.kind !== 'topics') return
  const { after } = registry.preview(command)
  const { partitions, eventRetentionInDays } = (after as Resource<'topics'>).properties
  await eventTopics.ensure(command.name, partitions, eventRetentionInDays)
}

/**
 * The event subscriptions go with their topic, and its data if that is asked for: first, so that a deletion that breaks off can be
 * asked for again. Otherwise the Kafka topic stays, and Kafka removes its events after the retention as before. Rejects with Problem.
 */
export async function beforeDelete(command: Command, withData: boolean, { registry, eventTopics }: ServedNamespace): Promise<void> {
  if (command.kind !== 'topics') return
  for (const name of subscriptionsOf(registry.view, command.name)) {
    await registry.change(deleteCommand({ kind: 'eventSubscriptions', name, author: command.author })).catch((error: unknown) => {
      if (!(error instanceof Problem && error.status === 404)) throw error // somebody else has deleted it
    })
  }
  if (withData) await eventTopics.remove(command.name)
}
