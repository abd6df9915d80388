/** Where sockets of all namespaces come in: counts them, finds their namespace, and hands them to its gateway. */
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { NamespaceDirectory } from '../model/namespace-directory.ts'
import { Admission } from './admission.ts'
import { type Arrival, type Choice, chooseNamespace } from './arrivals.ts'
import type { GatewayConfig, LimitName } from './config.ts'
import { Deadlines } from './deadlines.ts'
import type { Gateway } from './gateway.ts'
import type { ListenerHost } from './listeners.ts'
import { type EntranceMetrics, entranceMetrics } from './metrics.ts'
import type { Transport } from './transport.ts'

export interface ReceptionOptions {
  readonly config: GatewayConfig
  readonly directory: NamespaceDirectory
  readonly gatewayOf: (namespace: string) => Gateway | undefined
  readonly clock: { now(): number }
  readonly logger: Logger
  readonly metrics: Registry
}

export class Reception implements ListenerHost {
  readonly config: GatewayConfig
  readonly admission: Admission
  readonly deadlines: Deadlines
  readonly logger: Logger
  readonly #options: ReceptionOptions
  readonly #limits: EntranceMetrics['limits']
  readonly #refused: EntranceMetrics['refused']
  readonly #proxyRefused: EntranceMetrics['proxyRefused']

  constructor(options: ReceptionOptions) {
    this.#options = options
    this.config = options.config
    this.logger = options.logger
    this.admission = new Admission(options.config)
    this.deadlines = new Deadlines(this.now())
    this.deadlines.start(() => this.now())
    const { limits, refused, proxyRefused } = entranceMetrics(options.metrics)
    this.#limits = limits
    this.#refused = refused
    this.#proxyRefused = proxyRefused
  }

  now(): number {
    return this.#options.clock.now()
  }

  reached(limit: LimitName): void {
    this.#limits.reached(limit)
  }

  proxyRefused(reason: 'untrusted' | 'malformed'): void {
    this.#proxyRefused.inc({ reason })
  }

  onlyNamespace(): string | null {
    const { home, hosts, isStrict } = this.#options.directory
    return hosts.size === 0 && !isStrict ? home : null
  }

  choose(arrival: Arrival): Choice {
    return chooseNamespace(arrival, this.#options.directory)
  }

  onRefused(remoteAddress: string, why: string): void {
    this.#refused.inc({ reason: 'unknownHost' })
    this.#report(remoteAddress, why)
  }

  accept(transport: Transport, namespace: string, isInternal: boolean): void {
    const gateway = this.#options.gatewayOf(namespace)
    if (gateway) {
      gateway.accept(transport, isInternal)
      return
    }
    this.#refused.inc({ reason: 'away' })
    this.#report(transport.remoteAddress, `the namespace ${namespace} is not served here now`)
    transport.destroy()
  }

  close(): void {
    this.deadlines.stop()
  }

  #report(remoteAddress: string, why: string): void {
    this.logger.info({ remoteAddress, why }, 'a connection was refused before its namespace')
  }
}
