/** The HTTP API as the commands use it. */
import type { CliConfig } from './config.ts'
import { Failure } from './failure.ts'

export type Json = Readonly<Record<string, unknown>>

export interface ApiAnswer {
  readonly status: number
  readonly body: Json
}

/** The API refused: its problem in one line, with field and rule. */
export class Refused extends Failure {
  readonly status: number
  readonly body: Json
  constructor(what: string, { status, body }: ApiAnswer) {
    const detail = typeof body.detail === 'string' ? body.detail : 'no reason was given'
    super(`${what}: ${status} ${detail}`)
    this.name = 'Refused'
    this.status = status
    this.body = body
  }
}

const reasonOf = (error: unknown): string => {
  const { cause, message } = error as Error & { readonly cause?: { readonly code?: string; readonly message?: string } }
  return cause?.code ?? cause?.message ?? message
}

/** Whole lines only: what follows the last one is the beginning of one that did not come. */
async function* linesOf(answer: Response): AsyncGenerator<readonly Json[]> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of answer.body ?? []) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    // An empty one only says that there is nothing yet.
    const told = lines.filter((line) => line !== '')
    if (told.length > 0) yield told.map((line) => JSON.parse(line) as Json)
  }
}

export class ApiClient {
  readonly #config: CliConfig

  constructor(config: CliConfig) {
    this.#config = config
  }

  /** `/namespaces/{namespace}` and what is below it. */
  path(...segments: readonly string[]): string {
    return ['/namespaces', this.#config.namespace, ...segments.map(encodeURIComponent)].join('/').replaceAll('%24', '$')
  }

  /** Any answer of the API. Throws Failure when there is none. */
  async ask(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const answer = await this.#fetch(path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const text = await answer.text()
    try {
      return { status: answer.status, body: text === '' ? {} : JSON.parse(text) }
    } catch {
      throw new Failure(`${new URL(path, this.#config.url)} answered ${answer.status} with something that is not JSON: is LOGGERHEAD_URL the front door?`)
    }
  }

  /** The body of a good answer. Throws Refused. */
  async call(method: string, path: string, body?: unknown): Promise<Json> {
    const answer = await this.ask(method, path, body)
    if (answer.status >= 400) throw new Refused(`${method} ${path.split('?', 1)[0]}`, answer)
    return answer.body
  }

  /** All of a list, page by page. */
  async *list(path: string, query: Readonly<Record<string, string>> = {}): AsyncGenerator<Json> {
    const first = new URLSearchParams({ $top: '1000', ...query })
    for (let next: string | undefined = `${path}?${first}`; next !== undefined; ) {
      const page = await this.call('GET', next)
      yield* page.value as readonly Json[]
      next = page.nextLink as string | undefined
    }
  }

  /** The same at once. */
  async listAll(path: string, query: Readonly<Record<string, string>> = {}): Promise<readonly Json[]> {
    const all: Json[] = []
    for await (const each of this.list(path, query)) all.push(each)
    return all
  }

  /** Sends a stream of lines, and gives the lines of the answer as they come. */
  async *stream(path: string, body: ReadableStream, type: string): AsyncGenerator<Json> {
    yield* this.#lines(path, { method: 'POST', body, duplex: 'half', headers: { 'content-type': type } } as RequestInit)
  }

  /** The lines of an answer as they come. */
  lines(path: string, query: Readonly<Record<string, string | undefined>> = {}): AsyncGenerator<Json> {
    const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined)
    return this.#lines(`${path}?${new URLSearchParams(given)}`, { method: 'GET' })
  }

  /** The same in pieces, as the answer comes in them: for who has to know what came together. Throws Refused, and what breaks the answer off. */
  pieces(path: string, signal: AbortSignal): AsyncGenerator<readonly Json[]> {
    return this.#pieces(path, { method: 'GET', signal })
  }

  async *#lines(path: string, request: RequestInit): AsyncGenerator<Json> {
    for await (const lines of this.#pieces(path, request)) yield* lines
  }

  async *#pieces(path: string, request: RequestInit): AsyncGenerator<readonly Json[]> {
    const answer = await this.#fetch(path, request)
    if (answer.status >= 400) throw new Refused(`${request.method} ${path.split('?', 1)[0]}`, { status: answer.status, body: (await answer.json()) as Json })
    yield* linesOf(answer)
  }

  async #fetch(path: string, request: RequestInit): Promise<Response> {
    const url = new URL(path, this.#config.url)
    const headers = { ...(request.headers as Record<string, string>), authorization: `Bearer ${this.#config.key()}` }
    try {
      return await fetch(url, { ...request, headers })
    } catch (error) {
      throw new Failure(`${url.origin} cannot be reached (${reasonOf(error)}): is Loggerhead running there? LOGGERHEAD_URL or --url says where`, {
        cause: error,
      })
    }
  }
}
