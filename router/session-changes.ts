import type { Session } from '../model/session.ts'
import type { SessionChange } from '../model/session-fold.ts'
import type { SessionsByName } from '../model/session-quota.ts'
import { RepeatableKind } from '../schemas/message-id.ts'
import type { Gateways } from './gateways.ts'
import type { OwnedShard } from './owned-shard.ts'
import type { SharedGroup } from './shared-group.ts'
import type { SharedRoom } from './shared-room.ts'
import type { SubscriptionTrie } from './subscription-trie.ts'

export interface SessionChangesOptions {
  readonly trie: SubscriptionTrie
  readonly byName: SessionsByName
  readonly gateways: Gateways
  /** By shard: those of this router. */
  readonly owned: ReadonlyMap<number, OwnedShard>
  readonly room: Pick<SharedRoom, 'moved'>
}

/** What changes of sessions, of whatever shard, are to a router: to its subscriptions and to all of its shards. */
export class SessionChanges {
  readonly #options: SessionChangesOptions
  #meetsUnknownGateway = false

  constructor(options: SessionChangesOptions) {
    this.#options = options
  }

  /** Whether a session has attached, since this was last asked, to a gateway that this router had not heard of. */
  hasMetUnknownGateway(): boolean {
    const hasMet = this.#meetsUnknownGateway
    this.#meetsUnknownGateway = false
    return hasMet
  }

  /** What the session's record at `offset` of the shard has changed. */
  applied(shard: number, offset: number, changes: readonly SessionChange[]): void {
    const { trie, byName, gateways } = this.#options
    for (const change of changes) {
      byName.changed(change)
      switch (change.kind) {
        case 'subscribed':
          for (const subscription of change.added) trie.add(change.session, subscription)
          if (change.retained.length > 0) this.#each((owned) => owned.subscribed(change.session, offset, change.retained))
          for (const { filter } of change.added) this.#memberCame(trie.group(filter), change.session)
          break
        case 'ended':
          this.#each((owned) => owned.source.letGoAllOf({ shard, session: change.session.id }))
          for (const { filter } of change.removed) trie.remove(change.session, filter)
          this.#each((owned) => owned.client.freed(change.session.authenticationName))
          break
        case 'unsubscribed':
          for (const { filter } of change.removed) trie.remove(change.session, filter)
          break
        case 'released': {
          const { session, use, packetId } = change
          this.#each((owned) => owned.source.letGo({ kind: RepeatableKind.Publish, shard, session: session.id, use, detail: packetId }))
          break
        }
        case 'attached':
          if (!gateways.get(change.record.gateway)) this.#meetsUnknownGateway = true
          for (const group of trie.connectionChanged(change.session)) this.#memberCame(group, change.session)
          break
        case 'detached':
          trie.connectionChanged(change.session)
          break
      }
    }
  }

  /** A member may be given what absent ones hold, in whatever shard. */
  #memberCame(group: SharedGroup | undefined, session: Session): void {
    if (group) this.#options.room.moved(group.filter)
    if (group?.isAttachedKeeper(session)) this.#each((owned) => owned.client.memberCame(group.filter))
  }

  #each(act: (owned: OwnedShard) => void): void {
    for (const owned of this.#options.owned.values()) act(owned)
  }
}
