/** The HTTP API over the registry's resources. Each request becomes a command or a look at the view; errors are RFC 9457 problems. */
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { LogHealth } from '../log/log.ts'
import { type ResourceKind, resourceKinds } from '../model/registry-resources.ts'
import { checkBearer, keyChecker, originOf } from './bearer.ts'
import type { RegistryConfig } from './config.ts'
import { Problem, problemBody, type Violation } from './problem.ts'
import type { Registry } from './registry.ts'
import { readBody, resourceSchemas } from './resource-schemas.ts'
import { deleteCommand, findResource, matchesTag, namesOfKind, notFound, putCommand, representation } from './resources.ts'
import { LimitReached } from './rules.ts'

export interface ApiOptions {
  readonly registry: Registry
  readonly namespace: string
  readonly key: string
  readonly config: RegistryConfig
  readonly health: () => LogHealth
  readonly onRequest: (method: string, kind: string, status: number, seconds: number) => void
  readonly onLimit: (limit: string) => void
  readonly onError: (error: unknown) => void
}

type Json = Readonly<Record<string, unknown>>

const listMax = 1000
const listDefault = 100

/** Parts of a request that its hooks have read. */
declare module 'fastify' {
  interface FastifyRequest {
    warnings: string[]
  }
  interface FastifyContextConfig {
    kind?: ResourceKind
  }
}

interface AjvError {
  readonly instancePath: string
  readonly keyword: string
  readonly message?: string
  readonly params: Json
  readonly data?: unknown
  readonly propertyName?: string
}

const fieldOf = (instancePath: string): string => `properties${instancePath.replaceAll(/\/(\d+)(?=\/|$)/g, '[$1]').replaceAll('/', '.')}`

/** What JSON schema found, in the words of the API. */
function toViolations(errors: readonly AjvError[]): readonly Violation[] {
  return errors
    .filter(({ keyword }) => keyword !== 'anyOf' && keyword !== 'propertyNames')
    .map(({ instancePath, keyword, message = 'is not allowed', params, data, propertyName }) => {
      const field = fieldOf(instancePath)
      if (keyword === 'required') return { field: `${field}.${params.missingProperty}`, rule: 'is required' }
      if (keyword === 'additionalProperties') return { field: `${field}.${params.additionalProperty}`, rule: 'is no field of this resource' }
      if (keyword === 'enum') return { field, value: data, rule: `must be one of ${(params.allowedValues as readonly unknown[]).join(', ')}` }
      if (propertyName !== undefined) return { field: `${field}.${propertyName}`, rule: `keys hold letters, digits and “_” only: ${message}` }
      return { field, value: data, rule: message }
    })
}

function toProblem(error: FastifyError | Problem): Problem {
  if (error instanceof Problem) return error
  if (error.validation) {
    const violations = toViolations(error.validation as unknown as readonly AjvError[])
    return new Problem(400, violations.map(({ field, rule }) => `${field}: ${rule}`).join('; '), { violations })
  }
  const status = error.statusCode ?? 500
  if (status >= 500) return new Problem(500, 'the registry failed at this request', { cause: error })
  if (status === 413) return new Problem(413, 'the body is larger than REGISTRY_BODY_MAX')
  if (status === 415) return new Problem(415, 'bodies are JSON: send Content-Type: application/json')
  return new Problem(status, error.message)
}

function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
  if (problem.retryAfter !== undefined) reply.header('retry-after', String(problem.retryAfter))
  return reply.code(problem.status).header('content-type', 'application/problem+json').send(problemBody(problem))
}

/** Makes the API; it is not listening yet. */
export function createApi(options: ApiOptions): FastifyInstance {
  const { registry, namespace, config } = options
  const isKey = keyChecker(options.key)
  const isProduction = config.LOGGERHEAD_PROFILE === 'production'
  const app = Fastify({
    bodyLimit: config.REGISTRY_BODY_MAX,
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 512 },
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false, verbose: true } },
  })

  app.decorateRequest('warnings')
  app.setErrorHandler<FastifyError>((error, _request, reply) => {
    const problem = toProblem(error)
    if (problem.status === 500) options.onError(error)
    if (problem.status === 413) options.onLimit('REGISTRY_BODY_MAX')
    if (error instanceof LimitReached) options.onLimit(error.limit)
    return sendProblem(reply, problem)
  })
  app.setNotFoundHandler((request, reply) => sendProblem(reply, new Problem(404, `there is nothing at ${request.url.slice(0, 200)}`)))
  app.addHook('onResponse', async (request, reply) => {
    options.onRequest(request.method, request.routeOptions.config.kind ?? '', reply.statusCode, reply.elapsedTime / 1000)
  })

  app.register(async (api) => {
    api.addHook('onRequest', async (request) => {
      request.warnings = []
      checkBearer(request.headers, originOf(request.socket.remoteAddress ?? '', request.headers), isProduction, isKey)
      const { ns } = request.params as { readonly ns?: string }
      if (ns !== undefined && ns !== namespace) throw new Problem(404, `there is no namespace “${ns}” here, only “${namespace}”`)
      const age = registry.follower.confirmedMs()
      if (age <= config.REGISTRY_STALE_MAX) return
      options.onLimit('REGISTRY_STALE_MAX')
      const { reason } = options.health()
      throw new Problem(503, `Kafka has not confirmed the registry for ${Math.round(age)} ms${reason ? ` (${reason})` : ''}`, { retryAfter: 2 })
    })
    for (const kind of resourceKinds) addRoutes(api, kind, options)
  })
  return app
}

function addRoutes(api: FastifyInstance, kind: ResourceKind, options: ApiOptions): void {
  const { registry, namespace, config } = options
  const isNamespace = kind === 'namespace'
  const path = isNamespace ? '/namespaces/:ns' : `/namespaces/:ns/${kind}/:name`
  const nameOf = (request: FastifyRequest): string => (isNamespace ? namespace : (request.params as { readonly name: string }).name)

  api.put<{ Body: Json }>(path, {
    config: { kind },
    schema: { body: resourceSchemas[kind] },
    preValidation: async (request) => {
      const { properties, name, warnings, unknown } = readBody(kind, request.body)
      const violations: Violation[] = unknown.map((field) => ({ field, rule: 'is no field beside properties' }))
      if (name !== undefined && name !== nameOf(request))
        violations.push({ field: 'name', value: name, rule: `must be the name in the path, “${nameOf(request)}”` })
      if (violations.length > 0) throw new Problem(400, violations.map(({ field, rule }) => `${field}: ${rule}`).join('; '), { violations })
      request.warnings.push(...warnings)
      request.body = properties as Json
    },
    handler: async (request, reply) => {
      const { warnings } = request
      const conditions = { ifMatch: request.headers['if-match'], ifNoneMatch: request.headers['if-none-match'] }
      const command = putCommand({ kind, name: nameOf(request), properties: request.body, limits: config, by: 'api-key', warnings, ...conditions })
      const { before, after } = await registry.change(command)
      if (!after) throw new Problem(503, 'the change was written but cannot be read; ask again', { retryAfter: 1 })
      return reply
        .code(before ? 200 : 201)
        .header('etag', after.etag)
        .send(representation(after, namespace, warnings))
    },
  })

  api.get(path, { config: { kind } }, async (request, reply) => {
    const resource = findResource(registry.view, kind, nameOf(request))
    if (!resource) throw notFound(kind, nameOf(request))
    reply.header('etag', resource.etag)
    const ifNoneMatch = request.headers['if-none-match']
    if (ifNoneMatch !== undefined && matchesTag(ifNoneMatch, resource.etag, true)) return reply.code(304).send()
    return representation(resource, namespace)
  })
  if (isNamespace) return

  api.delete(path, { config: { kind } }, async (request, reply) => {
    await registry.change(deleteCommand({ kind, name: nameOf(request), by: 'api-key', ifMatch: request.headers['if-match'] }))
    return reply.code(204).send()
  })

  api.get<{ Querystring: { readonly $top?: string; readonly $skiptoken?: string } }>(`/namespaces/:ns/${kind}`, { config: { kind } }, async (request) => {
    const { $top = String(listDefault), $skiptoken = '' } = request.query
    const top = Number($top)
    if (!Number.isInteger(top) || top < 1 || top > listMax) {
      throw new Problem(400, `$top: a whole number from 1 to ${listMax}`, {
        violations: [{ field: '$top', value: $top, rule: `a whole number from 1 to ${listMax}` }],
      })
    }
    const names = namesOfKind(registry.view, kind).filter((name) => name > $skiptoken)
    const page = names.slice(0, top)
    const value = page.flatMap((name) => findResource(registry.view, kind, name) ?? []).map((resource) => representation(resource, namespace))
    const last = page.at(-1)
    const nextLink =
      names.length > top && last !== undefined ? `/namespaces/${namespace}/${kind}?$top=${top}&$skiptoken=${encodeURIComponent(last)}` : undefined
    return { value, ...(nextLink ? { nextLink } : {}) }
  })
}
