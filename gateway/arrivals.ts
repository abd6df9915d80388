/** Which namespace a connection is for, by the listener it came to and the host it asked for. */

export type Arrival =
  /** The plain listener of one namespace. */
  | { readonly by: 'listener'; readonly namespace: string }
  /** `host` in lower case, from server_name or the Host header; null when none was named. */
  | { readonly by: 'host'; readonly host: string | null }

export interface Directory {
  readonly home: string
  /** By host name. */
  readonly hosts: ReadonlyMap<string, string>
  /** Nobody gets into the home namespace who does not name it: in production, as soon as the deployment has had another one. */
  readonly isStrict: boolean
}

export type Choice = { readonly namespace: string } | { readonly refused: string }

export function chooseNamespace(arrival: Arrival, { home, hosts, isStrict }: Directory): Choice {
  if (arrival.by === 'listener') return { namespace: arrival.namespace }
  const { host } = arrival
  const named = host === null ? undefined : hosts.get(host.replace(/\.$/, ''))
  if (named !== undefined) return { namespace: named }
  if (!isStrict) return { namespace: home }
  return {
    refused: host === null ? 'no host name was given, and the deployment has several namespaces' : `no namespace has the host name “${host.slice(0, 253)}”`,
  }
}

/** The host of a Host header, without its port (RFC 9110, 7.2); null when it names none. */
export function hostOfHeader(header: string | undefined): string | null {
  const host = (header ?? '').trim().toLowerCase().replace(/:\d*$/, '')
  return host === '' ? null : host
}
