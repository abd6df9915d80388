/** What tests of replays begin with. */
import { expect } from '@jest/globals'
import { isMarker } from '../../../model/session-queue.ts'
import type { ReplayRequest, SubscriptionRequest } from '../../../schemas/session-records.ts'
import type { Random } from '../../simulation/random.ts'
import type { ConnectOptions, Delivery, SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import { World } from '../../simulation/world.ts'
import { subscription } from '../model/session-records.ts'

const everything: ReplayRequest = { from: '1970-01-01T00:00:00.000Z', to: null, client: null, speed: null, access: 'now' }
/** A subscription that asks for all of its past, but for what is said. */
export const replay = (filter: string, but: Partial<ReplayRequest> = {}, more: Partial<SubscriptionRequest> = {}): SubscriptionRequest =>
  subscription(filter, { replay: { ...everything, ...but }, ...more })

/** A router's world in which anybody may have everything replayed, with two gateways. */
export async function startReplays(
  environment: Readonly<Record<string, string>> = {},
  random?: Random,
): Promise<{ world: World; gateway: SimGateway; gateways: readonly SimGateway[] }> {
  // Entries of the index that are small enough to come into play.
  const world = new World({ environment: { HISTORY_INDEX_RECORDS: '4', ...environment }, ...(random && { random: random.next }) })
  await world.start()
  await world.register('permissionBindings', 'all-replay', { clientGroupName: '$anonymous', topicSpaceName: 'all', permission: 'Replayer' })
  const gateways = [await world.startGateway('gw-0'), await world.startGateway('gw-1')]
  return { world, gateway: gateways[0] as SimGateway, gateways }
}

/** A client that acknowledges what it gets, and what it got: messages and end markers. */
export class Reader {
  readonly got: Delivery[] = []
  readonly markers: { readonly filter: string; readonly messages: number; readonly positions: string; readonly live: boolean; readonly since?: string }[] = []
  readonly options: ConnectOptions

  constructor(options: ConnectOptions = {}) {
    this.options = {
      ...options,
      onDelivery: (connection, delivery) => {
        if (isMarker(delivery.source)) this.markers.push(JSON.parse(delivery.text))
        else this.got.push(delivery)
        setImmediate(() => connection.acknowledge(delivery))
      },
    }
  }

  async connect(gateway: SimGateway, clientId = 'reader'): Promise<SimConnection> {
    const connection = gateway.connect(clientId, this.options)
    await gateway.world.until(() => connection.phase !== 'attaching', 'it is answered')
    expect(connection.phase).toBe('open')
    return connection
  }

  get texts(): string[] {
    return this.got.map(({ text }) => text)
  }

  /** The texts of one topic. */
  of(topic: string): string[] {
    return this.got.filter((each) => each.topic === topic).map(({ text }) => text)
  }
}

export const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i))
