/** Revocation lists that CA certificates name by URL: fetched, fetched again when they grow old, and kept while a newer one cannot be had. */
import type { X509Certificate } from 'node:crypto'
import type { Logger } from 'pino'
import { isOlder, type RevocationList, readRevocationList } from '../access/certificate-structure.ts'
import { shownUrl } from '../access/shown-url.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { type OutgoingRequests, RequestFailed } from '../outgoing/outgoing-request.ts'
import type { GatewaySettings } from './config.ts'
import type { GatewayMetrics } from './metrics.ts'

export interface FetchedListsOptions {
  readonly config: GatewaySettings
  readonly requests: Pick<OutgoingRequests, 'send'>
  readonly view: () => RegistryView
  readonly now: () => number
  readonly metrics: GatewayMetrics
  readonly logger: Logger
  /** Connections have to be judged again. */
  onChange(): void
}

interface Source {
  readonly url: string
  readonly issuer: X509Certificate
  isFetching: boolean
  triedAt: number
  fetchedAt: number
}

export class FetchedLists {
  readonly #options: FetchedListsOptions
  /** By the name of the CA certificate. */
  readonly #sources = new Map<string, Source>()
  readonly #lists = new Map<string, RevocationList>()
  #position = -1

  constructor(options: FetchedListsOptions) {
    this.#options = options
  }

  /** By the name of the CA certificate. */
  get lists(): ReadonlyMap<string, RevocationList> {
    return this.#lists
  }

  /** Fetches what is due. */
  look(nowMs: number): void {
    const view = this.#options.view()
    if (view.position !== this.#position) this.#follow(view)
    const { CRL_REFRESH, CRL_RETRY } = this.#options.config
    for (const [name, source] of this.#sources) {
      if (source.isFetching || nowMs - source.triedAt < CRL_RETRY) continue
      const isOver = nowMs >= (this.#lists.get(name)?.nextUpdate ?? Number.NEGATIVE_INFINITY)
      if (isOver || nowMs - source.fetchedAt >= CRL_REFRESH) void this.#fetch(name, source)
    }
  }

  #follow(view: RegistryView): void {
    this.#position = view.position
    for (const [name, { url, issuer }] of this.#sources) {
      const authority = view.authority(name)
      if (view.caCertificates.get(name)?.properties.revocationListUrl === url && authority?.certificate.fingerprint256 === issuer.fingerprint256) continue
      this.#sources.delete(name)
      this.#lists.delete(name)
    }
    for (const [name, { properties }] of view.caCertificates) {
      const issuer = view.authority(name)?.certificate
      const { revocationListUrl: url } = properties
      if (url === undefined || !issuer || this.#sources.has(name)) continue
      this.#sources.set(name, { url, issuer, isFetching: false, triedAt: Number.NEGATIVE_INFINITY, fetchedAt: Number.NEGATIVE_INFINITY })
    }
  }

  async #fetch(name: string, source: Source): Promise<void> {
    const { now, metrics, logger, onChange } = this.#options
    source.isFetching = true
    source.triedAt = now()
    try {
      const list = await this.#read(source)
      if (this.#sources.get(name) !== source) return
      const before = this.#lists.get(name)
      // Signed by the CA all the same: a mirror that lags, or somebody who would have a certificate good again.
      if (before && isOlder(list, before)) throw new RequestFailed('content', `the list at ${shownUrl(source.url)} is older than the one before`)
      metrics.revocationListsFetched.inc({ result: 'fetched' })
      source.fetchedAt = now()
      this.#lists.set(name, list)
      onChange()
    } catch (error) {
      metrics.revocationListsFetched.inc({ result: 'failed' })
      const kind = error instanceof RequestFailed ? error.kind : ''
      if (kind === 'timeout') metrics.reached('CRL_TIMEOUT')
      if (kind === 'tooLarge') metrics.reached('CRL_BYTES_MAX')
      logger.warn({ caCertificate: name, why: (error as Error).message }, 'a revocation list could not be fetched')
    } finally {
      source.isFetching = false
    }
  }

  async #read({ url, issuer }: Source): Promise<RevocationList> {
    const { config, requests } = this.#options
    const { status, body } = await requests.send({ url, method: 'GET', timeoutMs: config.CRL_TIMEOUT, bytesMax: config.CRL_BYTES_MAX })
    if (status !== 200) throw new RequestFailed('status', `${shownUrl(url)} answered with HTTP ${status}`)
    const list = readRevocationList(body, issuer)
    if ('problem' in list) throw new RequestFailed('content', `the list at ${shownUrl(url)} ${list.problem}`)
    return list
  }
}
