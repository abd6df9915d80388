/** The members of a shared subscription in the simulation: what is acknowledged to its publisher must be acknowledged by one of them. */
import type { Random } from './random.ts'
import type { Delivery, SimConnection, SimGateway } from './sim-gateway.ts'

interface Worker {
  readonly clientId: string
  readonly isPersistent: boolean
  connection: SimConnection | null
  subscribed: SimConnection | null
  readonly open: Set<Delivery>
}

export class Workers {
  readonly #filter = '$share/workers/#'
  readonly #workers: readonly Worker[]
  readonly #random: Random
  readonly #due = new Set<string>()
  readonly #done = new Set<string>()
  /** A persistent member's SUBACK came: from then on there is somebody to wait for. */
  #hasMember = false
  isDiligent = false

  constructor(random: Random) {
    this.#random = random
    this.#workers = Array.from({ length: 4 }, (_, i) => ({
      clientId: `worker-${i}`,
      isPersistent: i < 2,
      connection: null,
      subscribed: null,
      open: new Set<Delivery>(),
    }))
  }

  get due(): number {
    return this.#due.size
  }

  get missing(): string[] {
    return [...this.#due]
  }

  /** To be called when the publish was acknowledged. */
  expect(text: string): () => void {
    return this.#hasMember ? () => void (this.#done.has(text) || this.#due.add(text)) : () => {}
  }

  connect(gateway: SimGateway): void {
    const worker = this.#random.pick(this.#workers)
    worker.open.clear()
    worker.connection = gateway.connect(worker.clientId, {
      cleanStart: !worker.isPersistent,
      expiry: worker.isPersistent ? 100_000 : 0,
      receiveMaximum: 1 + this.#random.below(8),
      onDelivery: (connection, delivery) => this.#take(worker, connection, delivery),
      onClosed: (connection) => {
        if (worker.connection !== connection) return
        worker.connection = null
        worker.open.clear()
      },
    })
  }

  disconnect(): void {
    this.#random.pick(this.#workers).connection?.close('ConnectionLost')
  }

  /** Subscribes on connections that are new, and acknowledges now and then. */
  work(): void {
    for (const worker of this.#workers) {
      const { connection } = worker
      if (connection?.phase !== 'open') continue
      if (worker.subscribed !== connection) {
        worker.subscribed = connection
        void connection.subscribe(this.#filter).then(() => {
          // One that a later connection has overtaken in the log counts for nothing.
          if (worker.isPersistent && worker.connection === connection && connection.phase === 'open') this.#hasMember = true
        })
      }
      for (const delivery of worker.open) if (this.isDiligent || this.#random.chance(0.3)) this.#acknowledge(worker, connection, delivery)
    }
  }

  get isWhole(): boolean {
    return this.#workers.every(({ connection, isPersistent }) => !isPersistent || connection?.phase === 'open')
  }

  #take(worker: Worker, connection: SimConnection, delivery: Delivery): void {
    if (delivery.number < 0) return
    worker.open.add(delivery)
    if (this.isDiligent || this.#random.chance(0.5)) this.#acknowledge(worker, connection, delivery)
  }

  #acknowledge(worker: Worker, connection: SimConnection, delivery: Delivery): void {
    worker.open.delete(delivery)
    this.#done.add(delivery.text)
    this.#due.delete(delivery.text)
    connection.acknowledge(delivery)
  }
}
