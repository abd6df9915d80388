/** What a route makes of a message: whether it wants it, and the record for its target. Pure, compiled once per route. */
import { cloudEventOf, withAttributes } from '../../events/cloud-event.ts'
import { type ClientAttributes, compileEnrichments } from '../../events/enrichment.ts'
import { compileFilters } from '../../events/filter.ts'
import { eventRecord, type RecordContent, rawRecord, structuredRecord } from '../../events/kafka-binding.ts'
import { filteredEvent } from '../../events/received-event.ts'
import type { Route } from '../../model/routes.ts'
import { matches } from '../../mqtt/topic.ts'
import type { Message } from '../../schemas/message.ts'
import type { TraceAttributes } from './route-tracing.ts'

export interface MessageMapping {
  /** Whether the topic is one of the route's. */
  wantsTopic(topic: string): boolean
  /** Undefined when the route's conditions do not hold. `attributes` are the publisher's, asked for only when they are needed; `trace` goes into the event. */
  recordOf(message: Message, attributes: () => ClientAttributes, trace?: TraceAttributes): RecordContent | undefined
  keyOf(message: Message): Buffer
}

export function compileMapping(route: Pick<Route, 'topicFilters' | 'conditions' | 'format' | 'enrichments' | 'key'>, namespace: string): MessageMapping {
  const { topicFilters, format, key } = route
  const enrich = compileEnrichments(route.enrichments)
  const isWanted = route.conditions.length === 0 ? undefined : compileFilters({ filters: route.conditions })
  return {
    wantsTopic: (topic) => topicFilters.some((filter) => matches(filter, topic)),
    keyOf: (message) => Buffer.from(key === 'mqttTopic' ? message.topic : message.authenticationName),
    recordOf(message, attributes, trace = {}) {
      const added = enrich(message, attributes)
      if (format === 'raw' && !isWanted) return rawRecord(message, added)
      const event = withAttributes(cloudEventOf(message, namespace), { ...trace, ...added })
      if (isWanted && !isWanted(filteredEvent(event))) return undefined
      if (format === 'raw') return rawRecord(message, added)
      return format === 'cloudEventsBinary' ? eventRecord(event) : structuredRecord(event)
    },
  }
}
