/**
 * Pages of retained messages on their way to one client. They wait here and not in its queues, which end or drop what
 * grows too long: the next page comes when this one is handed on. Bounded by the routers, which have one page of a shard under way.
 */
import type { Receiver } from '../proto/frames.ts'
import type { Outgoing } from './outgoing.ts'

export interface HeldMessage {
  readonly message: Outgoing
  readonly receiver: Receiver
}

interface Held extends HeldMessage {
  readonly page: Page
}

interface Page {
  waits: number
  /** How many of the session's records the log has to have answered before the page goes out. */
  readonly behind: number
  readonly done: () => void
}

export class HeldPages {
  #held: Held[] = []

  get isEmpty(): boolean {
    return this.#held.length === 0
  }

  /** The message that goes next. */
  get first(): Held | undefined {
    return this.#held[0]
  }

  /** `done` is called once when all of the page is handed on. */
  add(messages: readonly HeldMessage[], behind: number, done: () => void): void {
    if (messages.length === 0) {
      done()
      return
    }
    const page: Page = { waits: messages.length, behind, done }
    for (const each of messages) {
      each.message.hold()
      this.#held.push({ ...each, page })
    }
  }

  shift(): void {
    const held = this.#held.shift()
    if (held) handedOn(held)
  }

  /** Takes out what is retained on a topic that a message is coming for. */
  take(topic: string): readonly HeldMessage[] {
    if (!this.#held.some(({ message }) => message.topic === topic)) return []
    const taken = this.#held.filter(({ message }) => message.topic === topic)
    this.#held = this.#held.filter(({ message }) => message.topic !== topic)
    for (const each of taken) handedOn(each)
    return taken
  }

  /** The connection is over. */
  clear(): void {
    const held = this.#held
    this.#held = []
    for (const each of held) handedOn(each)
  }
}

function handedOn({ page }: Held): void {
  page.waits--
  if (page.waits === 0) page.done()
}
