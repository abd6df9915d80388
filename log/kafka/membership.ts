/** A membership in a classic consumer group, used for nothing but sharing out the shards: nothing is fetched or committed through it. */

import { assignRanges, type Candidate } from '../assignment.ts'
import type { Membership, MembershipEvents } from '../log.ts'
import { LogClosed } from '../log.ts'
import { Backoff } from './backoff.ts'
import type { Cluster, Logger } from './cluster.ts'
import { errorType, MemberAssignment, MemberMetadata } from './kafkajs.ts'
import type { Link } from './link.ts'
import { LinkError } from './link.ts'
import { findCoordinator, isCoordinatorRetriable } from './producer-id.ts'

const heartbeatMs = 500
const protocolName = 'loggerhead-ranges'

export interface KafkaMembershipOptions extends MembershipEvents {
  readonly group: string
  readonly topic: string
  readonly instance: string
  readonly partitions: number
  readonly cluster: Cluster
  readonly sessionTimeoutMs: number
  readonly logger: Logger
  readonly onClosed: () => void
}

/** What a heartbeat's answer asks for. */
const rejoin = new Set(['REBALANCE_IN_PROGRESS'])
const startOver = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID', 'MEMBER_ID_REQUIRED'])

export class KafkaMembership implements Membership {
  readonly #options: KafkaMembershipOptions
  #memberId = ''
  #generation = -1
  #node = -1
  #owned: readonly number[] = []
  /** When the coordinator last confirmed the membership. */
  #confirmedAt = 0
  #closed = false
  #heartbeat: NodeJS.Timeout | null = null
  #beating = false
  /** The shards were given up here, whatever the coordinator thinks: only a new assignment brings them back. */
  #gaveUp = false
  #joining: Promise<void> | null = null
  /** The owner's callbacks run one after the other. */
  #telling: Promise<void> = Promise.resolve()

  constructor(options: KafkaMembershipOptions) {
    this.#options = options
  }

  get memberId(): string {
    return this.#memberId
  }

  /** Resolves after the first assignment. */
  async start(): Promise<void> {
    await this.#retrying('removing the member this process was', () => this.#removeFormer())
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs)
    await this.#join()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#heartbeat) clearInterval(this.#heartbeat)
    this.#tell([])
    await this.#telling
    if (this.#memberId !== '' && this.#node >= 0) {
      try {
        const link = await this.#link()
        await link.call('leaving the group', 1000, (broker) => broker.leaveGroup({ groupId: this.#options.group, memberId: this.#memberId }))
      } catch (error) {
        this.#options.logger.debug({ error: String(error) }, 'leaving the group failed; its session will end')
      }
    }
    if (this.#node >= 0) this.#options.cluster.drop(this.#node, this.#purpose)
    this.#options.onClosed()
  }

  get #purpose(): string {
    return `group-${this.#options.group}-${this.#options.instance}`
  }

  /** The group shows a member's client id: on this connection it is the instance. */
  #link(): Promise<Link> {
    return this.#options.cluster.usableLink(this.#node, this.#purpose, this.#options.instance)
  }

  async #find(): Promise<void> {
    const node = await findCoordinator(this.#options.cluster, 'group', this.#options.group)
    if (node !== this.#node && this.#node >= 0) this.#options.cluster.drop(this.#node, this.#purpose)
    this.#node = node
  }

  async #retrying(what: string, work: () => Promise<void>): Promise<void> {
    const backoff = new Backoff()
    while (!this.#closed && !this.#options.cluster.closed) {
      try {
        if (this.#node < 0) await this.#find()
        await work()
        return
      } catch (error) {
        if (error instanceof LogClosed) return
        if (!isCoordinatorRetriable(error)) throw error
        this.#node = -1
        this.#options.logger.debug({ error: String(error) }, `retrying ${what}`)
        await this.#options.cluster.pause(backoff.next())
      }
    }
  }

  /** A process killed with -9 is still a member until its session ends: it goes at once when its successor says so. */
  async #removeFormer(): Promise<void> {
    const { group, instance, cluster, logger } = this.#options
    const link = await this.#link()
    const { groups } = await link.call('describing the group', cluster.requestTimeoutMs, (broker) => broker.describeGroups({ groupIds: [group] }))
    for (const member of groups[0]?.members ?? []) {
      if (member.clientId !== instance) continue
      logger.info({ group, instance, member: member.memberId }, 'removing the group member this process was')
      await link
        .call('removing a former member', cluster.requestTimeoutMs, (broker) => broker.leaveGroup({ groupId: group, memberId: member.memberId }))
        .catch((error: unknown) => {
          if (errorType(error) !== 'UNKNOWN_MEMBER_ID') throw error
        })
    }
  }

  #join(): Promise<void> {
    this.#joining ??= this.#retrying('joining the group', () => this.#joinOnce()).finally(() => {
      this.#joining = null
    })
    return this.#joining
  }

  async #joinOnce(): Promise<void> {
    const { group, topic, instance, sessionTimeoutMs, partitions, logger } = this.#options
    for (;;) {
      if (this.#closed) return
      const link = await this.#link()
      try {
        const joined = await link.call('joining the group', sessionTimeoutMs * 2 + 5000, (broker) =>
          broker.joinGroup({
            groupId: group,
            sessionTimeout: sessionTimeoutMs,
            // How long the coordinator waits for the other members: as long as for their heartbeats.
            rebalanceTimeout: sessionTimeoutMs,
            memberId: this.#memberId,
            groupProtocols: [{ name: protocolName, metadata: MemberMetadata.encode({ version: 1, topics: [topic], userData: Buffer.from(instance) }) }],
          }),
        )
        this.#memberId = joined.memberId
        const isLeader = joined.leaderId === joined.memberId
        const groupAssignment = isLeader ? this.#share(joined.members) : []
        const { memberAssignment } = await link.call('syncing the group', sessionTimeoutMs + 5000, (broker) =>
          broker.syncGroup({ groupId: group, generationId: joined.generationId, memberId: joined.memberId, groupAssignment }),
        )
        this.#generation = joined.generationId
        this.#confirmedAt = Date.now()
        this.#gaveUp = false
        const assigned = memberAssignment.length > 0 ? (MemberAssignment.decode(memberAssignment)?.assignment[topic] ?? []) : []
        const owned = assigned.filter((partition) => partition < partitions)
        logger.info({ group, memberId: this.#memberId, generation: this.#generation, isLeader, shards: owned }, 'shards assigned')
        this.#tell(owned)
        return
      } catch (error) {
        const type = errorType(error)
        if (type !== undefined && startOver.has(type)) {
          this.#lose()
          continue
        }
        if (type !== undefined && rejoin.has(type)) continue
        throw error
      }
    }
  }

  #share(members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]): { memberId: string; memberAssignment: Buffer }[] {
    const { topic, partitions } = this.#options
    const candidates: Candidate[] = members.map(({ memberId, memberMetadata }) => ({
      memberId,
      instance: MemberMetadata.decode(memberMetadata).userData.toString(),
    }))
    return [...assignRanges(candidates, partitions)].map(([memberId, assigned]) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({ version: 1, assignment: { [topic]: assigned }, userData: Buffer.alloc(0) }),
    }))
  }

  /** From its own timer: neither a long batch of the owner's nor a rebalance under way holds it up. */
  #beat(): void {
    const { sessionTimeoutMs, group, logger } = this.#options
    if (this.#closed) return
    // While a join is unanswered the coordinator waits for others and gives nothing away.
    const silentMsMax = this.#joining ? 2 * sessionTimeoutMs : sessionTimeoutMs
    if (this.#owned.length > 0 && Date.now() - this.#confirmedAt > silentMsMax) {
      this.#gaveUp = true
      logger.warn({ group, shards: this.#owned }, 'no heartbeat answered for a whole session: shards given up')
      this.#tell([])
    }
    if (this.#beating || this.#joining) return
    this.#beating = true
    // Without a generation an earlier join has failed: it is tried again, or this process would own nothing for ever.
    const beat = this.#generation < 0 ? this.#join() : this.#beatOnce()
    beat
      .catch((error: unknown) => {
        if (this.#closed) return
        const type = errorType(error)
        if (type !== undefined && rejoin.has(type)) {
          this.#confirmedAt = Date.now()
          return this.#join()
        }
        if (type !== undefined && startOver.has(type)) {
          this.#lose()
          return this.#join()
        }
        if (error instanceof LinkError || isCoordinatorRetriable(error)) {
          this.#node = -1
          return
        }
        throw error
      })
      .catch((error: unknown) => logger.error({ group, error: String(error) }, 'group membership'))
      .finally(() => {
        this.#beating = false
      })
  }

  async #beatOnce(): Promise<void> {
    if (this.#node < 0) await this.#find()
    const { group, sessionTimeoutMs } = this.#options
    const link = await this.#link()
    const sentAt = Date.now()
    await link.call('heartbeat', sessionTimeoutMs, (broker) =>
      broker.heartbeat({ groupId: group, groupGenerationId: this.#generation, memberId: this.#memberId }),
    )
    this.#confirmedAt = sentAt
    if (this.#gaveUp) await this.#join()
  }

  /** The coordinator has given this member up: what it owned may be another's already. */
  #lose(): void {
    this.#memberId = ''
    this.#generation = -1
    this.#tell([])
  }

  #tell(owned: readonly number[]): void {
    const lost = this.#owned.filter((partition) => !owned.includes(partition))
    const isSame = lost.length === 0 && owned.length === this.#owned.length
    this.#owned = owned
    const { onAssigned, onRevoked, logger } = this.#options
    if (isSame && owned.length > 0) return
    this.#telling = this.#telling
      .then(async () => {
        if (lost.length > 0) await onRevoked(lost)
        if (!this.#closed) await onAssigned(owned)
      })
      .catch((error: unknown) => logger.error({ error: String(error) }, 'taking over shards failed'))
  }
}
