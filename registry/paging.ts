/** Lists come in pages: `$top` says how many, `$skiptoken` where to go on; an answer that is not the last has the link to the next. */
import type { FastifyRequest } from 'fastify'
import { badRequest } from './violations.ts'

export const topMax = 1000
export const topDefault = 100

export interface Page {
  readonly top: number
  /** The name after which the page begins; empty for the first. */
  readonly after: string
  /** The link to the page after this name, everything else that was asked for kept. */
  nextLink(last: string): { readonly nextLink: string }
}

/** The page that a request asks for. Throws Problem. */
export function readPage(request: FastifyRequest): Page {
  const query = request.query as Readonly<Record<string, string>>
  const { $top = String(topDefault), $skiptoken = '' } = query
  const top = Number($top)
  if (!Number.isInteger(top) || top < 1 || top > topMax) throw badRequest([{ field: '$top', value: $top, rule: `a whole number from 1 to ${topMax}` }])
  return {
    top,
    after: $skiptoken,
    nextLink(last) {
      const others = Object.entries(query).filter(([name]) => name !== '$top' && name !== '$skiptoken')
      const kept = others.map(([name, value]) => `&${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('')
      return { nextLink: `${request.url.split('?', 1)[0]}?$top=${top}&$skiptoken=${encodeURIComponent(last)}${kept}` }
    },
  }
}
