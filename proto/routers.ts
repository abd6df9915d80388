/** The routers as the registry and the gateways ask them over HTTP: they know the sessions, and the one that owns a client's shard decides about its session. */
import { listed } from '../settings/setting.ts'

export interface RouterAddress {
  readonly id: string
  readonly url: URL
}

export interface RouterAnswer {
  readonly router: string
  /** 0 when the router could not be reached. */
  readonly status: number
  readonly body: unknown
}

export interface Routers {
  /** Asks every router the same; their answers in the order of their addresses. */
  ask(method: 'GET' | 'DELETE' | 'POST', path: string, by: string): Promise<readonly RouterAnswer[]>
}

/** The addresses in ROUTER_URLS; undefined when one of them is none. */
export function parseRouterUrls(text: string): readonly RouterAddress[] | undefined {
  const addresses = listed(text).map((entry, index) => {
    const named = /^([A-Za-z0-9._-]+)=(.*)$/.exec(entry)
    const address = named?.[2] ?? entry
    if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol)) return undefined
    return { id: named?.[1] ?? (index === 0 ? 'router' : `router-${index + 1}`), url: new URL(address) }
  })
  return addresses.every((address) => address !== undefined) ? addresses : undefined
}

export interface RoutersOptions {
  readonly addresses: readonly RouterAddress[]
  readonly key: string | undefined
  readonly timeoutMs: number
  readonly onTimeout: () => void
}

/** `namespace`: the one that is asked about, when it is not the home one. */
export function routersByHttp({ addresses, key, timeoutMs, onTimeout }: RoutersOptions, namespace?: string): Routers {
  const prefix = namespace === undefined ? '' : `/namespaces/${namespace}`
  const askOne = async ({ id, url }: RouterAddress, method: string, path: string, by: string): Promise<RouterAnswer> => {
    try {
      const answer = await fetch(new URL(`${prefix}${path}`, url), {
        method,
        headers: { 'x-loggerhead-by': by, ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
        signal: AbortSignal.timeout(timeoutMs),
      })
      const text = await answer.text()
      return { router: id, status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
    } catch (error) {
      if (error instanceof DOMException && error.name === 'TimeoutError') onTimeout()
      return { router: id, status: 0, body: undefined }
    }
  }
  return { ask: (method, path, by) => Promise.all(addresses.map((address) => askOne(address, method, path, by))) }
}
