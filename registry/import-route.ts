/** `POST /namespaces/{ns}/clients:import`: clients as lines of JSON, answered as lines of JSON while it goes on. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiOptions } from './api-options.ts'
import { type ImportResult, runImport } from './bulk-import.ts'
import { ndjson, readLines } from './lines.ts'
import { withPasswordHashed } from './password-field.ts'
import { Problem } from './problem.ts'
import { isDryRun, readProperties } from './resource-routes.ts'
import { resourceSchemas } from './resource-schemas.ts'
import { putCommand } from './resources.ts'
import { LimitReached } from './rules.ts'
import { badRequest, type SchemaError, toViolations } from './violations.ts'

type Json = Readonly<Record<string, unknown>>

/** Two of the registry's groups: one is written while the next gathers. */
const windowMax = 400

function parseLine(text: string | undefined, bytesMax: number): { readonly name: string; readonly body: Json } {
  if (text === undefined) throw new Problem(413, `the line is longer than ${bytesMax} bytes (REGISTRY_BODY_MAX)`)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new Problem(400, `the line is not JSON: ${(error as Error).message}`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new Problem(400, 'a line is a JSON object with a name and properties')
  const { name, ...rest } = json as Json
  if (typeof name !== 'string') throw badRequest([{ field: 'name', rule: 'is required, as text' }])
  return { name, body: 'properties' in rest ? { name, ...rest } : rest }
}

function* toText(result: ImportResult): Generator<string> {
  yield `${JSON.stringify(result)}\n`
}

export function addImportRoute(api: FastifyInstance, options: ApiOptions): void {
  const { config, onLimit } = options
  let underWay = 0
  // The body is a stream: it is never held whole.
  for (const type of [ndjson, 'application/ndjson', 'application/jsonl']) api.addContentTypeParser(type, (_request, payload, done) => done(null, payload))

  api.post('/namespaces/:ns/clients::import', { config: { kind: 'clients', role: 'operator' } }, async (request, reply) => {
    if (!(request.body instanceof Readable)) throw new Problem(415, `an import is lines of JSON: send Content-Type: ${ndjson}`)
    const lines = readLines(request.body, config.REGISTRY_BODY_MAX)
    const carryOut = importer(request, isDryRun(request))
    if (underWay >= config.IMPORTS_MAX) {
      onLimit('IMPORTS_MAX')
      throw new Problem(503, `${config.IMPORTS_MAX} imports are under way, which is the most (IMPORTS_MAX)`, { retryAfter: 5 })
    }
    underWay++
    const results = runImport({
      lines,
      carryOut,
      window: Math.max(1, Math.min(windowMax, Math.floor(config.REGISTRY_REQUESTS_MAX / 2))),
      linesMax: config.IMPORT_LINES_MAX,
      onLinesMax: () => onLimit('IMPORT_LINES_MAX'),
    })
    const answer = Readable.from(results).flatMap(toText)
    answer.once('close', () => underWay--)
    return reply.header('content-type', ndjson).send(answer)
  })

  function importer(request: FastifyRequest, dryRun: boolean): (text: string | undefined) => Promise<'created' | 'updated'> {
    // The validator that the PUT route uses.
    const validate = request.compileValidationSchema(resourceSchemas.clients as { readonly [key: string]: unknown }, 'body')
    return async (text) => {
      const { name, body } = parseLine(text, config.REGISTRY_BODY_MAX)
      const warnings: string[] = []
      const properties = readProperties('clients', name, body, () => {})
      if (!validate(properties)) throw badRequest(toViolations((validate.errors ?? []) as unknown as readonly SchemaError[]))
      const { view } = request.at.registry
      const hashed = await withPasswordHashed(properties as Json, view, name, config.PASSWORD_HASH_COST)
      const command = putCommand({ kind: 'clients', name, properties: hashed, limits: config, author: request.author, warnings })
      try {
        const { registry } = request.at
        const { before } = dryRun ? registry.preview(command) : await registry.change(command)
        return before ? 'updated' : 'created'
      } catch (error) {
        if (error instanceof LimitReached) onLimit(error.limit)
        throw error
      }
    }
  }
}
