import { decodeRecord } from '../../schemas/codec.ts'
import { Device } from './device.ts'
import type { Reach } from './folds.ts'
import { Random } from './random.ts'
import type { SimGateway } from './sim-gateway.ts'
import { Workers } from './workers.ts'
import { type RouterProcess, World } from './world.ts'

const topics = ['a/x', 'a/y', 'b/x', 'b/y', 'c']
const filters = ['#', 'a/+', '+/x', 'b/#', 'c', 'a/x', '+/y']

/** A random life of the whole: devices, publishers, gateways and routers that come, go, hang and die. */
export class Simulation {
  #world: World | undefined
  readonly random: Random
  readonly devices: Device[]
  readonly workers: Workers
  readonly gateways: SimGateway[] = []
  /** Alive or starting. */
  readonly routers: ReturnType<World['launchRouter']>[] = []
  readonly stale: RouterProcess[] = []
  readonly moments: (Reach & { readonly shard: number; readonly at: number })[] = []
  readonly failures: Error[] = []
  readonly story: string[] = []

  tell(what: string): void {
    this.story.push(what)
    if (process.env.SIM_TRACE) process.stderr.write(`-- ${what}\n`)
  }

  readonly #published = new Map<string, number>()
  readonly #hasReceipts: boolean
  #acknowledged = 0
  #messages = 0
  #routerNumber = 0

  constructor(seed: number, hasReceipts = false) {
    this.#hasReceipts = hasReceipts
    this.random = new Random(seed)
    this.workers = new Workers(this.random)
    this.devices = Array.from({ length: 7 }, (_, i) => new Device(`${i < 5 ? 'device' : 'guest'}-${i}`, i < 5, this.random))
  }

  get world(): World {
    if (!this.#world) throw new TypeError('it has not begun')
    return this.#world
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  async start(): Promise<void> {
    const environment = { SNAPSHOT_RECORDS: '100', CHECKPOINT_INTERVAL: '2000', GATEWAY_LOST: '8000', GATEWAY_STALL: '2000', PAYLOAD_CACHE_BYTES: '65536' }
    // In every other course the workers soon have enough, and their group is behind.
    const room = this.random.chance(0.5) ? { SHARED_MEMBER_MESSAGES_MAX: '2' } : {}
    this.#world = await new World({
      partitions: 3,
      hasReceipts: this.#hasReceipts,
      random: this.random.next,
      environment: { ...environment, ...room },
    }).start()
    for (const id of ['gw-0', 'gw-1']) this.gateways.push(await this.world.startGateway(id))
    this.launch()
  }

  launch(): void {
    const launched = this.world.launchRouter(`router-${this.#routerNumber++}`)
    launched.ready.catch((error: Error) => this.failures.push(error))
    this.routers.push(launched)
  }

  /** A step's deed, by chance. */
  async step(): Promise<void> {
    const deed = this.random.weighted<() => void | Promise<void>>([
      [40, () => this.publish()],
      [12, () => this.connect()],
      [8, () => this.workers.connect(this.random.pick(this.gateways))],
      [4, () => this.workers.disconnect()],
      [6, () => this.disconnect()],
      [8, () => this.subscribe()],
      [2, () => this.unsubscribe()],
      [4, () => this.cut()],
      [2, () => this.crashGateway()],
      [2, () => this.freeze()],
      [3, () => this.killRouter()],
      [2, () => this.secondRouter()],
      [2, () => this.stopRouter()],
      [1, () => this.turnStale()],
      [2, () => this.stopForAWhile()],
      [2, () => this.logAway()],
      [2, () => this.retire()],
      [6, () => this.retain()],
      [8, () => this.remember()],
      [8, () => this.world.pass(this.random.below(1_500))],
    ])
    await deed()
    await this.world.turns(this.random.below(12))
    this.look()
  }

  look(): void {
    for (const device of this.devices) device.checkPresent()
    this.workers.work()
    for (const { process } of this.routers) for (const error of process?.failures ?? []) this.failures.push(error)
    // A router that gave up is restarted, as its supervisor would.
    if (this.failures.length > 0) throw this.failures[0]
  }

  publish(): void {
    const gateway = this.random.pick(this.gateways)
    for (let left = 1 + this.random.below(6); left > 0; left--) {
      const topic = this.random.pick(topics)
      const number = this.#published.get(topic) ?? 0
      this.#published.set(topic, number + 1)
      const text = `${topic} ${number}`
      const qos = this.random.pick([0, 1, 1, 1, 1, 2, 2])
      const due = qos === 0 ? [] : [...this.devices.map((device) => device.expect(topic, text)), this.workers.expect(text)]
      const messageId = Buffer.alloc(16)
      messageId.writeUInt32BE(++this.#messages)
      void gateway.publish(topic, text, { qos, messageId }).then(() => {
        this.#acknowledged++
        for (const isDue of due) isDue()
      })
    }
  }

  /** On topics that no wildcard of the devices matches. */
  retain(): void {
    const topic = `$kept/${this.random.below(6)}`
    void this.random.pick(this.gateways).publish(topic, this.random.chance(0.3) ? '' : 'kept', { qos: 1, retain: true })
  }

  /** Notes where the journals stand, to ask for this moment later. */
  remember(shard = this.random.below(this.world.partitions)): void {
    const end = (topic: 'sessions' | 'inbox'): number => this.world.store.partition(this.world.topics[topic], shard)?.endOffset ?? 0
    this.moments.push({ shard, at: this.world.now(), sessions: end('sessions'), inbox: end('inbox') })
  }

  connect(): void {
    const device = this.random.pick(this.devices)
    // Now and then while it is connected: a takeover.
    if (device.connection && !this.random.chance(0.3)) return
    device.connect(this.random.pick(this.gateways))
    this.tell(`${device.clientId} connects`)
  }

  disconnect(): void {
    this.random.pick(this.devices).connection?.close('ConnectionLost')
  }

  subscribe(): void {
    const device = this.random.pick(this.devices)
    void device.subscribe(this.random.pick(filters), this.random.pick([1, 2, 2]))
  }

  unsubscribe(): void {
    const device = this.random.pick(this.devices)
    const [filter] = device.filters
    if (filter !== undefined) void device.unsubscribe(filter)
  }

  cut(): void {
    this.random.pick(this.gateways).cut()
    this.tell('a link is cut')
  }

  async crashGateway(): Promise<void> {
    const at = this.random.below(this.gateways.length)
    const gateway = this.gateways[at] as SimGateway
    gateway.crash()
    this.tell(`${gateway.id} crashes`)
    await this.world.pass(this.random.pick([0, 300, 3_000]))
    this.gateways[at] = await this.world.startGateway(gateway.id)
  }

  async freeze(): Promise<void> {
    const gateway = this.random.pick(this.gateways)
    gateway.isFrozen = true
    this.tell(`${gateway.id} hangs`)
    this.publish()
    await this.world.pass(this.random.pick([200, 2_500, 6_000, 10_000]))
    gateway.thaw()
  }

  killRouter(): void {
    const router = this.routers.splice(this.random.below(this.routers.length), 1)[0]
    router?.kill()
    this.tell(`${router?.process?.id} is killed`)
    if (this.routers.length === 0) this.launch()
  }

  secondRouter(): void {
    if (this.routers.length < 2) this.launch()
  }

  async stopRouter(): Promise<void> {
    const at = this.random.below(this.routers.length)
    const router = this.routers[at]
    if (!router?.process || !router.isReady) return
    this.routers.splice(at, 1)
    this.tell(`${router.process.id} stops`)
    await router.process.stop()
    if (this.routers.length === 0) this.launch()
  }

  /** The group takes a router's shards away, and it does not know. */
  async turnStale(): Promise<void> {
    const router = this.routers[0]
    if (!router?.process) return
    this.routers.shift()
    this.stale.push(router.process)
    this.tell(`${router.process.id} is stale`)
    const { log } = router.process
    await log.expel()
    setTimeout(() => void log.hear(), this.random.below(4_000))
    if (this.routers.length === 0) this.launch()
  }

  /** A router stands still, others have its shards when it goes on, and a while later it hears of that. */
  async stopForAWhile(): Promise<void> {
    const router = this.routers[0]
    if (!router?.process || !router.isReady) return
    this.routers.shift()
    this.stale.push(router.process)
    this.tell(`${router.process.id} stands still`)
    const { process } = router
    process.standStill()
    this.publish()
    await process.log.expel()
    setTimeout(
      () => {
        this.tell(`${process.id} goes on`)
        process.goOn()
        setTimeout(() => void process.log.hear(), this.random.below(4_000))
      },
      this.random.pick([200, 2_500, 6_000, 12_000]),
    )
    if (this.routers.length === 0) this.launch()
  }

  /** What a shard's last snapshot and the checkpoint before the last cover leaves the journals; nobody who starts is in the middle of reading them. */
  retire(): void {
    const { world } = this
    if (this.routers.some(({ isReady }) => !isReady)) return
    for (let shard = 0; shard < world.partitions; shard++) {
      const closed = world.records('snapshots', shard).findLast(({ record }) => record.name === 'SnapshotClosed')?.record
      const checkpoints = world.records('checkpoints', shard).flatMap(({ record }) => (record.name === 'CheckpointClosed' ? [record.value] : []))
      const checkpoint = checkpoints.at(-2)
      const kept = checkpoint && decodeRecord(checkpoint.snapshot)
      if (closed?.name !== 'SnapshotClosed' || kept?.name !== 'SnapshotClosed') continue
      world.retire('sessions', shard, Math.min(closed.value.sessionsOffset, kept.value.sessionsOffset))
      world.retire('inbox', shard, Math.min(closed.value.inboxOffset, kept.value.inboxOffset))
    }
  }

  async logAway(): Promise<void> {
    this.world.store.setAway(true)
    this.publish()
    await this.world.turns(this.random.below(20))
    await this.world.pass(this.random.below(500))
    this.world.store.setAway(false)
  }

  /** All is well again: every device is there and takes what it is owed. */
  async settle(): Promise<void> {
    for (const router of this.stale) router.kill()
    await this.world.turns(50)
    for (const device of this.devices) device.isDiligent = true
    this.workers.isDiligent = true
    let tries = 0
    await this.world.until(
      () => {
        this.look()
        if (tries++ % 20 === 0) for (const device of this.devices) if (!device.connection) device.connect(this.random.pick(this.gateways))
        for (const device of this.devices) if (device.isOpen) device.catchUp()
        if (tries % 20 === 1 && !this.workers.isWhole) this.workers.connect(this.random.pick(this.gateways))
        return this.devices.every((device) => device.isOpen && device.due === 0) && this.workers.due === 0
      },
      'all that was acknowledged arrives',
      60_000,
    )
    // Nothing comes that has come.
    await this.world.pass(3_000)
  }

  get mistakes(): string[] {
    return this.devices.flatMap((device) => device.mistakes.map((mistake) => `${device.clientId}: ${mistake}`))
  }
}
