/**
 * Life cycle events of sessions, pure: Event Grid's types, subjects and data (LC-01, LC-02, LC-05), derived from what the
 * fold of `sessions` says has changed. The id is made of the record's position, so an event told twice is the same event.
 */
import { quotaExceeded, type Session } from '../model/session.ts'
import type { SessionChange } from '../model/session-fold.ts'
import type { LifecycleEvent } from '../schemas/event-records.ts'

const connected = 'Microsoft.EventGrid.MQTTClientSessionConnected'
const disconnected = 'Microsoft.EventGrid.MQTTClientSessionDisconnected'

export interface KeyedEvent {
  readonly authenticationName: string
  readonly event: LifecycleEvent
}

/** Events of one change of the record at `offset` in the shard's `sessions` partition. */
export function lifecycleEvents(namespace: string, shard: number, offset: number, change: SessionChange): KeyedEvent[] {
  const event = (type: string, session: Session, time: number, data: object): KeyedEvent => {
    const { authenticationName, clientId } = session
    return {
      authenticationName,
      event: {
        id: `${namespace}-${shard}-${offset}-${type === connected ? 'c' : 'd'}`,
        type,
        source: `/namespaces/${namespace}`,
        subject: `clients/${authenticationName}/sessions/${clientId}`,
        time,
        data: JSON.stringify({ namespaceName: namespace, clientAuthenticationName: authenticationName, clientSessionName: clientId, ...data }),
      },
    }
  }
  switch (change.kind) {
    case 'attached': {
      const { session, record, replaced, sequence } = change
      const events = replaced ? [event(disconnected, session, record.at, { sequenceNumber: sequence - 1, disconnectionReason: 'SessionTakenOver' })] : []
      events.push(event(connected, session, record.at, { sequenceNumber: sequence }))
      return events
    }
    case 'detached':
      return [event(disconnected, change.session, change.record.at, { sequenceNumber: change.sequence, disconnectionReason: change.record.reason })]
    case 'ended':
      if (!change.from) return []
      return [
        event(disconnected, change.session, change.at, {
          sequenceNumber: change.sequence,
          disconnectionReason: reasonOf(change.reason),
        }),
      ]
    default:
      return []
  }
}

function reasonOf(endReason: string): string {
  if (endReason === 'SessionOverflow') return 'SessionOverflow'
  if (endReason === 'AuthorizationError') return 'ClientAuthorizationError'
  if (endReason === quotaExceeded) return 'QuotaExceeded'
  return 'ServerInitiatedDisconnect'
}
