/** The limits of queues and of retained messages: the settings', as the namespace narrows them. */
import { isSame, type QueueLimitsInForce, queueLimitsInForce } from '../model/queue-limits.ts'
import type { RegistryView } from '../model/registry-view.ts'
import type { RouterConfig } from './config.ts'
import { type RetainedLimits, retainedLimits } from './retained-store.ts'

export class LimitsInForce {
  readonly #config: RouterConfig
  readonly #view: () => RegistryView
  #queue: QueueLimitsInForce
  #retained: RetainedLimits

  constructor(config: RouterConfig, view: () => RegistryView) {
    this.#config = config
    this.#view = view
    this.#queue = this.#ofQueues()
    this.#retained = this.#ofRetained()
  }

  get queue(): QueueLimitsInForce {
    return this.#queue
  }

  get retained(): RetainedLimits {
    return this.#retained
  }

  /** After a change of the registry: whether the limits of queues are others now. */
  refresh(): boolean {
    const before = this.#queue
    this.#queue = this.#ofQueues()
    this.#retained = this.#ofRetained()
    return !isSame(before.connected, this.#queue.connected) || !isSame(before.offline, this.#queue.offline)
  }

  #ofQueues(): QueueLimitsInForce {
    return queueLimitsInForce(this.#config.queues, this.#view().namespace?.properties.limits)
  }

  #ofRetained(): RetainedLimits {
    const { retainedBytesMax: bytesMax, retainedMessageBytesMax: messageBytesMax, retainedMessagesMax: messagesMax, partitions } = this.#config
    return { bytesMax, ...retainedLimits({ messageBytesMax, messagesMax }, this.#view().namespace?.properties.limits, partitions) }
  }
}
