import type { Connection } from './connection.ts'

const nobody: ReadonlySet<Connection> = new Set()

/** A gateway's connections: those on a socket, and of them the attached ones, by number and by shard. */
export class Connections {
  readonly #sockets = new Set<Connection>()
  readonly #attached = new Map<number, Connection>()
  readonly #byShard: readonly Set<Connection>[]
  #number = 0

  constructor(shards: number) {
    this.#byShard = Array.from({ length: shards }, () => new Set())
  }

  get shards(): number {
    return this.#byShard.length
  }

  /** Everybody on a socket. */
  get sockets(): ReadonlySet<Connection> {
    return this.#sockets
  }

  get attached(): ReadonlyMap<number, Connection> {
    return this.#attached
  }

  /** Those attached whose client belongs to the shard. */
  ofShard(shard: number): ReadonlySet<Connection> {
    return this.#byShard[shard] ?? nobody
  }

  add(connection: Connection): void {
    this.#sockets.add(connection)
  }

  /** The transport is gone. */
  remove(connection: Connection): void {
    this.#sockets.delete(connection)
  }

  /** Answers its number: of this incarnation, given once. */
  attach(connection: Connection, shard: number): number {
    const number = ++this.#number
    this.#attached.set(number, connection)
    this.#byShard[shard]?.add(connection)
    return number
  }

  detach(number: number, shard: number): void {
    const connection = this.#attached.get(number)
    this.#attached.delete(number)
    if (connection) this.#byShard[shard]?.delete(connection)
  }
}
