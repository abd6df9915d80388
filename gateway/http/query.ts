import { HttpProblem } from './http-problem.ts'

/** A parameter's value, or a header's, that is percent-encoded UTF-8. Throws HttpProblem. */
export function percentDecoded(field: string, text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new HttpProblem(400, `${field} is not percent-encoded UTF-8`, { field, value: text })
  }
}

/**
 * The parameters in a request target, as RFC 3986 reads them: percent-encoding alone counts, so that + is the wildcard and no
 * space. One that is given twice could be read one way here and another way by a proxy in front. Throws HttpProblem.
 */
export function readQuery(target: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>()
  const start = target.indexOf('?')
  if (start === -1) return parameters
  for (const pair of target.slice(start + 1).split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = percentDecoded('the name of a query parameter', equals === -1 ? pair : pair.slice(0, equals))
    if (parameters.has(name)) throw new HttpProblem(400, `the query parameter ${name} must be given once`, { field: name })
    parameters.set(name, equals === -1 ? '' : percentDecoded(name, pair.slice(equals + 1)))
  }
  return parameters
}
