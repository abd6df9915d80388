/**
 * Sessions over the router's internal HTTP port. Any router reads its folds; what happens to a session is decided by the
 * owner of its shard, as a record first, and answered once the fold holds it. For the other services only: their key is asked for.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { partitionOf } from '../log/partitioner.ts'
import type { Session } from '../model/session.ts'
import type { SessionFold } from '../model/session-fold.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { RecordName, Records } from '../schemas/records.ts'
import { showsKey } from './internal-key.ts'
import { pageOfSessions, reportSession } from './session-report.ts'

export interface SessionsApiOptions {
  readonly folds: readonly SessionFold[]
  /** Applies to the folds all that was in the log when it was called: what was acknowledged before a request is in its answer. */
  catchUp(): Promise<void>
  /** The term under which this router owns the shard; undefined when it does not. */
  termOf(shard: number): number | undefined
  /** Appends to the shard's `sessions` partition and resolves once the fold has applied it. */
  append(shard: number, clientId: string, value: Buffer): Promise<void>
  readonly now: () => number
  /** Of the services among themselves; without one nothing is answered. */
  readonly key: string | undefined
  /** A session was ended or disconnected, and for whom. */
  onDecided(by: string, clientId: string, what: 'ended' | 'disconnected'): void
}

/** MQTT 5: Administrative action. */
const administrativeAction = 0x98
const pageMax = 2_000

interface Answer {
  readonly status: number
  readonly body?: object
}
const problem = (status: number, detail: string): Answer => ({ status, body: { status, detail } })

export class SessionsApi {
  readonly #options: SessionsApiOptions

  constructor(options: SessionsApiOptions) {
    this.#options = options
  }

  /** Answers when the request is for sessions; false when it is for somebody else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const target = request.url ?? '/'
    if (!target.startsWith('/sessions') || !URL.canParse(target, 'http://router')) return false
    const url = new URL(target, 'http://router')
    const path = /^\/sessions(?:\/([^/]+)(\/disconnect)?)?$/.exec(url.pathname)
    if (!path) return false
    const clientId = path[1] === undefined ? undefined : decode(path[1])
    this.#answer(request, url.searchParams, clientId, path[2] !== undefined)
      .catch((error: Error) => problem(503, `the log did not answer: ${error.message}`))
      .then(({ status, body }) => {
        response.writeHead(status, body ? { 'content-type': 'application/json' } : {})
        response.end(body && JSON.stringify(body))
      })
    return true
  }

  async #answer(request: IncomingMessage, query: URLSearchParams, clientId: string | undefined, isDisconnect: boolean): Promise<Answer> {
    if (!showsKey(request.headers.authorization, this.#options.key)) return problem(401, 'the key of INTERNAL_KEY_FILE is needed')
    await this.#options.catchUp()
    if (clientId === undefined) return request.method === 'GET' ? this.#list(query) : problem(405, 'GET')
    const by = String(request.headers['x-loggerhead-by'] ?? 'unknown')
    switch (`${request.method}${isDisconnect ? ' disconnect' : ''}`) {
      case 'GET':
        return this.#get(clientId)
      case 'DELETE':
        return this.#decide(by, clientId, 'ended')
      case 'POST disconnect':
        return this.#decide(by, clientId, 'disconnected')
      default:
        return problem(405, 'GET, DELETE, or POST …/disconnect')
    }
  }

  async #list(query: URLSearchParams): Promise<Answer> {
    const connected = query.get('connected')
    const authenticationName = query.get('authenticationName')
    const sessions = await pageOfSessions(this.#options.folds, {
      after: query.get('after') ?? '',
      top: Math.min(pageMax, Math.max(1, Number(query.get('top')) || 100)),
      ...(connected ? { connected: connected === 'true' } : {}),
      ...(authenticationName ? { authenticationName } : {}),
    })
    return { status: 200, body: { sessions: sessions.map((session) => reportSession(session, this.#options.termOf(session.shard) !== undefined)) } }
  }

  #get(clientId: string): Answer {
    const { shard, session } = this.#find(clientId)
    if (!session) return problem(404, 'there is no such session')
    return { status: 200, body: reportSession(session, this.#options.termOf(shard) !== undefined) }
  }

  #find(clientId: string): { readonly shard: number; readonly session: Session | undefined } {
    const { folds } = this.#options
    const shard = partitionOf(clientId, folds.length)
    const session = folds[shard]?.sessions.get(clientId)
    return { shard, session: session?.isOver ? undefined : session }
  }

  async #decide(by: string, clientId: string, what: 'ended' | 'disconnected'): Promise<Answer> {
    const { shard, session } = this.#find(clientId)
    const term = this.#options.termOf(shard)
    if (term === undefined) return problem(421, 'another router owns the shard of this client')
    if (!session) return problem(404, 'there is no such session')
    const answer = await (what === 'ended' ? this.#end(session, shard, term) : this.#disconnect(session, shard))
    if (answer.status === 204) this.#options.onDecided(by, clientId, what)
    return answer
  }

  async #end(session: Session, shard: number, term: number): Promise<Answer> {
    const { clientId, id, epoch } = session
    await this.#write(shard, 'SessionEnded', { clientId, session: id, epoch, at: this.#options.now(), reason: 'Deleted', shard, term })
    // A connection that came in between is a newer one than the one that was meant.
    return session.isOver ? { status: 204 } : problem(409, 'the session has a new connection meanwhile; ask again')
  }

  async #disconnect(session: Session, shard: number): Promise<Answer> {
    const { clientId, epoch, attached } = session
    if (!attached) return problem(409, 'the session has no connection')
    await this.#write(shard, 'Detached', {
      clientId,
      epoch,
      at: this.#options.now(),
      reason: 'ServerInitiatedDisconnect',
      reasonCode: administrativeAction,
      sessionExpiryInterval: null,
      keepWill: true,
      by: 'router',
    })
    return session.attached === attached ? problem(409, 'the session has moved on meanwhile; ask again') : { status: 204 }
  }

  #write<N extends RecordName>(shard: number, name: N, record: Records[N] & { readonly clientId: string }): Promise<void> {
    return this.#options.append(shard, record.clientId, encodeRecord(name, record))
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
