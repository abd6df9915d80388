/** Which service answers a request. */
export type Hop = 'registry' | 'gateway' | 'router'

export type Route =
  /** `streams`: its body is as long as it likes, and takes its time; the service reads it as it comes. */
  | { readonly to: 'hop'; readonly hop: Hop; readonly streams?: true }
  | { readonly to: 'health' }
  | { readonly to: 'metrics' }
  | { readonly to: 'refused'; readonly status: 400 | 404; readonly detail: string }

const prefixes: readonly (readonly [RegExp, Hop])[] = [
  [/^\/namespaces(\/|$)/, 'registry'],
  [/^\/openapi\.json$/, 'registry'],
  [/^\/mqtt\//, 'gateway'],
  [/^\/topics\/[^/]+:publish$/, 'gateway'],
  [/^\/topics\/[^/]+\/eventsubscriptions\//i, 'router'],
]

/** A service may resolve `..` before it routes, so that a path allowed here would reach what is not ours to show. */
function climbs(path: string): boolean {
  return path.includes('\\') || path.split('/').some((segment) => /^\.{1,2}$/.test(segment.replace(/%2e/gi, '.')))
}

/** Decides by the request target alone (RFC 9112 origin-form: path and query). */
export function route(target: string): Route {
  if (!target.startsWith('/')) return { to: 'refused', status: 400, detail: 'the request target must be a path' }
  const path = target.split('?', 1)[0] ?? ''
  if (climbs(path)) return { to: 'refused', status: 400, detail: 'the path must have no segment “.” or “..” and no backslash' }
  if (path === '/healthz') return { to: 'health' }
  if (/^\/namespaces\/[^/]+\/clients:import$/.test(path)) return { to: 'hop', hop: 'registry', streams: true }
  if (path === '/metrics') return { to: 'metrics' }
  for (const [prefix, hop] of prefixes) if (prefix.test(path)) return { to: 'hop', hop }
  return {
    to: 'refused',
    status: 404,
    detail: 'there is nothing here; the API is at /openapi.json, /namespaces/…, /mqtt/…, /topics/{topic}:publish and /topics/{topic}/eventsubscriptions/…',
  }
}
