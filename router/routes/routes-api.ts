/** How the routes of this router's shards get on, over its internal HTTP port. For the other services only. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { showsKey } from '../internal-key.ts'
import type { RouteStatus } from './route-status.ts'

export interface RoutesApiOptions {
  routes(): readonly RouteStatus[]
  /** Of the services among themselves; without one nothing is answered. */
  readonly key: string | undefined
}

export class RoutesApi {
  readonly #options: RoutesApiOptions

  constructor(options: RoutesApiOptions) {
    this.#options = options
  }

  /** Answers when the request is for routes; false when it is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.url !== '/routes') return false
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    if (!showsKey(request.headers.authorization, this.#options.key)) answer(401, { status: 401, detail: 'the key of INTERNAL_KEY_FILE is needed' })
    else if (request.method !== 'GET') answer(405, { status: 405, detail: 'routes are only asked for here' })
    else answer(200, { routes: this.#options.routes() })
    return true
  }
}
