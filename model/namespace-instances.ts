/**
 * What a process runs for each namespace besides the home one: started when the namespace appears, stopped when it goes, begun anew
 * after a while when it fails. Each goes its own way: one that cannot start, or takes its time, holds up no other.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { lifeName, type Namespace } from './namespaces.ts'

export interface NamespaceInstancesOptions<T> {
  /** May reject: it is tried again. `fail` says that the instance cannot go on. */
  start(namespace: Namespace, fail: (error: unknown) => void): Promise<T>
  /** `isGone`: the namespace is no more. */
  stop(instance: T, isGone: boolean): Promise<void>
  readonly logger: { info(detail: object, message: string): void; error(detail: object, message: string): void }
  /** An instance that failed does not stop: begun anew beside itself it could do harm, so that the process has to end. */
  onStuck(error: Error): void
  /** Between two attempts, ms: the first, doubled up to the last. */
  readonly retryMs?: readonly [first: number, last: number]
}

/** Time for a failed instance to stop before another takes its place, ms: above every time that stopping may be given. */
const stopMsMax = 90_000

export class NamespaceInstances<T> {
  readonly #options: NamespaceInstancesOptions<T>
  /** By life name. */
  readonly #slots = new Map<string, Slot<T>>()

  constructor(options: NamespaceInstancesOptions<T>) {
    this.#options = options
  }

  /** Says which namespaces there are now. */
  set(namespaces: readonly Namespace[]): void {
    const wanted = new Set(namespaces.map(lifeName))
    for (const [name, slot] of this.#slots) {
      if (wanted.has(name)) continue
      this.#slots.delete(name)
      void slot.end(true)
    }
    for (const namespace of namespaces) {
      if (!this.#slots.has(lifeName(namespace))) this.#slots.set(lifeName(namespace), new Slot(namespace, this.#options))
    }
  }

  /** The running instance of the namespace; undefined while there is none. */
  get(name: string): T | undefined {
    return [...this.#slots.values()].find(({ namespace }) => namespace.name === name)?.instance
  }

  /** The same, of one life. */
  ofLife(life: string): T | undefined {
    return this.#slots.get(life)?.instance
  }

  /** Every namespace there is, with its running instance or why there is none. */
  all(): readonly { readonly namespace: Namespace; readonly instance: T | undefined; readonly trouble: string | null }[] {
    return [...this.#slots.values()].map(({ namespace, instance, trouble }) => ({ namespace, instance, trouble }))
  }

  /** Resolves when each has come up, or failed to for the first time, or the time is over. */
  async settled(timeoutMs: number): Promise<void> {
    await Promise.race([Promise.all([...this.#slots.values()].map((slot) => slot.tried)), delay(timeoutMs, undefined, { ref: false })])
  }

  async close(): Promise<void> {
    const slots = [...this.#slots.values()]
    this.#slots.clear()
    await Promise.all(slots.map((slot) => slot.end(false)))
  }
}

class Slot<T> {
  readonly namespace: Namespace
  instance: T | undefined
  /** Why there is no instance; null while there is one. */
  trouble: string | null = 'it is starting'
  readonly tried: Promise<void>
  readonly #options: NamespaceInstancesOptions<T>
  readonly #over = new AbortController()
  readonly #run: Promise<void>
  #isGone = false

  constructor(namespace: Namespace, options: NamespaceInstancesOptions<T>) {
    this.namespace = namespace
    this.#options = options
    const { promise, resolve } = Promise.withResolvers<void>()
    this.tried = promise
    this.#run = this.#live(resolve)
  }

  end(isGone: boolean): Promise<void> {
    this.#isGone = isGone
    this.#over.abort()
    return this.#run
  }

  async #live(onTried: () => void): Promise<void> {
    const { start, stop, logger, onStuck, retryMs = [1_000, 30_000] } = this.#options
    const { name } = this.namespace
    const over = this.#over.signal
    const ended = new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }))
    for (let wait = retryMs[0]; !over.aborted; wait = Math.min(retryMs[1], 2 * wait)) {
      try {
        const failed = Promise.withResolvers<unknown>()
        const starting = start(this.namespace, failed.resolve)
        const came = await Promise.race([
          starting.then((instance) => ({ is: 'up', instance }) as const),
          failed.promise.then((cause) => ({ is: 'failed', cause }) as const),
          ended.then(() => ({ is: 'unwanted' }) as const),
        ])
        if (came.is !== 'up') {
          // Should it come up later all the same, it is not wanted any more.
          starting.then((late) => stop(late, this.#isGone)).catch(() => {})
          if (came.is === 'unwanted') break
          throw came.cause
        }
        const { instance } = came
        this.instance = instance
        this.trouble = null
        onTried()
        logger.info({ namespace: name }, 'the namespace is served')
        const began = Date.now()
        const failure = await Promise.race([failed.promise, ended])
        this.instance = undefined
        await this.#stop(() => stop(instance, this.#isGone), onStuck)
        if (over.aborted) break
        if (Date.now() - began > retryMs[1]) wait = retryMs[0]
        throw failure
      } catch (error) {
        this.trouble = error instanceof Error ? error.message : String(error)
        onTried()
        if (over.aborted) break
        logger.error({ namespace: name, err: error, againInMs: wait }, 'the namespace cannot be served and is tried again')
        await delay(wait, undefined, { signal: over }).catch(() => {})
      }
    }
    logger.info({ namespace: name }, 'the namespace is served no more')
  }

  async #stop(stop: () => Promise<void>, onStuck: (error: Error) => void): Promise<void> {
    const isFailed = !this.#over.signal.aborted
    const late = isFailed ? setTimeout(() => onStuck(new Error(`the namespace ${this.namespace.name} does not stop`)), stopMsMax) : undefined
    // What it could not finish is in the log, or was never acknowledged.
    await stop().catch((error: unknown) => this.#options.logger.error({ namespace: this.namespace.name, err: error }, 'the namespace did not stop orderly'))
    clearTimeout(late)
  }
}
