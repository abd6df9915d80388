/** Records of the topic `lifecycle` as CloudEvents: the four kinds that Event Grid has (LC-01 … LC-04). Pure. */
import { createHash } from 'node:crypto'
import type { LifecycleEvent } from '../schemas/event-records.ts'

const prefix = 'Microsoft.EventGrid.'
export const clientCreatedOrUpdated = `${prefix}MQTTClientCreatedOrUpdated`
export const clientDeleted = `${prefix}MQTTClientDeleted`
/** The types there are; what else stands in `lifecycle` is for auditors. */
export const lifecycleTypes: ReadonlySet<string> = new Set([
  `${prefix}MQTTClientSessionConnected`,
  `${prefix}MQTTClientSessionDisconnected`,
  clientCreatedOrUpdated,
  clientDeleted,
])

/** What the source of life cycle events is, unless a deployment says otherwise: the namespace's path in the API. */
const sourceDefault = '/namespaces/{namespace}'

/** `pattern` with the namespace's name where it says {namespace}; Event Grid's source is the namespace's path in Azure. */
export const sourceOf = (pattern: string, namespace: string): string => (pattern === '' ? sourceDefault : pattern).replaceAll('{namespace}', namespace)

/** The record as a CloudEvent; undefined for one of another kind. One that was written twice is the same event, by its id. */
export function lifecycleCloudEvent(record: LifecycleEvent, source: string) {
  if (!lifecycleTypes.has(record.type)) return undefined
  const bytes = Buffer.from(record.data)
  return {
    attributes: {
      specversion: '1.0',
      id: guidOf(`${source}\n${record.id}\n${record.time}`),
      time: new Date(record.time).toISOString(),
      type: record.type,
      source,
      subject: record.subject,
    },
    data: { kind: 'json', bytes, value: (): unknown => JSON.parse(record.data) },
  } as const
}

/** A GUID made of a name (RFC 9562, 5.8): the same name, the same GUID. */
function guidOf(name: string): string {
  const bytes = createHash('sha256').update(name).digest().subarray(0, 16)
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
