/** The HTTP API over the registry's resources: who may ask, and how errors are answered (RFC 9457). The routes stand in files of their own. */
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify'
import { keyChecker } from '../access/api-keys.ts'
import { originOf } from '../access/request-origin.ts'
import { type ApiKeyRole, type ResourceKind, resourceKinds } from '../model/registry-resources.ts'
import { looksLikeToken } from '../outgoing/token-verifier.ts'
import type { ApiOptions } from './api-options.ts'
import { addAtRoutes } from './at-routes.ts'
import { readBearer } from './bearer.ts'
import { type Author, type Caller, checkRole, findCaller } from './callers.ts'
import { addChangesRoute } from './changes-route.ts'
import { addEraseRoute } from './erase-route.ts'
import { addExplainDeliveryRoute } from './explain-delivery-route.ts'
import { addExplainRoute, explainAction } from './explain-route.ts'
import { addHistoryRoutes } from './history-routes.ts'
import { addImportRoute } from './import-route.ts'
import { addNamespaceRoutes } from './namespace-routes.ts'
import { missing, type ServedNamespace } from './namespaces.ts'
import { openApiDocument } from './openapi.ts'
import { PastStreams } from './past-streams.ts'
import { Problem, problemBody } from './problem.ts'
import { addResourceRoutes } from './resource-routes.ts'
import { addRetainedRoutes } from './retained-routes.ts'
import { LimitReached } from './rules.ts'
import { addSessionRoutes } from './session-routes.ts'
import { addSubscriptionActions } from './subscription-actions.ts'
import { badRequest, type SchemaError, toViolations } from './violations.ts'
import { addWhatIfRoute } from './what-if-route.ts'

/** Parts of a request that its hooks have read. */
declare module 'fastify' {
  interface FastifyRequest {
    warnings: string[]
    caller: Caller
    /** The same as the author of changes. */
    author: Author
    /** The namespace in the path; of a request for none, the one whose key was shown; else the home one. */
    at: ServedNamespace
  }
  interface FastifyContextConfig {
    kind?: ResourceKind | 'sessions' | 'retainedMessages'
    /** The least that the caller's key must be. */
    role?: ApiKeyRole
    /** The namespace in the path need not be served, nor be there. */
    mayBeAway?: true
  }
}

function toProblem(error: FastifyError | Problem, validated: 'properties' | ''): Problem {
  if (error instanceof Problem) return error
  if (error.validation) return badRequest(toViolations(error.validation as unknown as readonly SchemaError[], validated))
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

/** The namespace that a path's segment names, which may end with an action. */
function namespaceIn(segment: string): string {
  return segment.endsWith(explainAction) ? segment.slice(0, -explainAction.length) : segment
}

/** The first of which something is found, and what. */
function firstOf<T, F>(all: readonly T[], find: (each: T) => F | undefined): { readonly of: T; readonly found: F } | undefined {
  for (const of of all) {
    const found = find(of)
    if (found !== undefined) return { of, found }
  }
  return undefined
}

/** Makes the API; it is not listening yet. */
export function createApi(options: ApiOptions): FastifyInstance {
  const { namespaces, config } = options
  const { home } = namespaces
  const isOwnersKey = keyChecker(options.key)
  const isProduction = config.LOGGERHEAD_PROFILE === 'production'
  const app = Fastify({
    bodyLimit: config.REGISTRY_BODY_MAX,
    routerOptions: { maxParamLength: 1024 },
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false, verbose: true, code: { optimize: false } } },
  })

  const parseJson = app.getDefaultJsonParser('error', 'error')
  // Many clients name a type with every request, a DELETE and a POST without a body too.
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null) : parseJson(request, body, done),
  )
  app.decorateRequest('warnings')
  app.decorateRequest('caller')
  app.decorateRequest('author')
  app.decorateRequest('at')
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const problem = toProblem(error, request.routeOptions.config.kind === undefined ? '' : 'properties')
    if (problem.status === 500) options.onError(error)
    if (problem.status === 413) options.onLimit('REGISTRY_BODY_MAX')
    if (error instanceof LimitReached) options.onLimit(error.limit)
    return sendProblem(reply, problem)
  })
  app.setNotFoundHandler((request, reply) => sendProblem(reply, new Problem(404, `there is nothing at ${request.url.slice(0, 200)}`)))
  app.addHook('onResponse', async (request, reply) => {
    options.onRequest(request.method, request.routeOptions.config.kind ?? '', reply.statusCode, reply.elapsedTime / 1000)
  })
  app.addHook('onRequest', async ({ raw }, reply) => {
    const late = setTimeout(() => {
      if (raw.complete) return
      options.onLimit('REGISTRY_REQUEST_TIMEOUT')
      raw.socket.destroy()
    }, config.REGISTRY_REQUEST_TIMEOUT)
    reply.raw.once('close', () => clearTimeout(late))
  })
  // What the API can do is no secret, and tools ask for it without a key.
  const document = openApiDocument(home.name)
  app.get('/openapi.json', async () => document)

  app.register(async (api) => {
    api.addHook('onRequest', async (request) => {
      request.warnings = []
      const origin = originOf(request.socket.remoteAddress ?? '', request.headers)
      const given = readBearer(request.headers, origin, isProduction)
      const { ns } = request.params as { readonly ns?: string }
      const name = ns === undefined ? undefined : namespaceIn(ns)
      const at = name === undefined ? undefined : namespaces.find(name)
      request.at = at ?? home
      // A key of one namespace learns nothing of others, not even whether they are there: to each that does not hold it, it is a wrong one.
      const held = name === undefined ? namespaces.all() : at ? [at] : []
      const owner = findCaller(given, isOwnersKey, undefined, Date.now())
      const holder = owner ? undefined : firstOf(held, (each) => findCaller(given, isOwnersKey, each.registry.view, Date.now()))
      if (holder) request.at = holder.of
      const caller = owner ?? holder?.found ?? (looksLikeToken(given) ? await options.bearerOf?.(given) : undefined)
      if (!caller) throw new Problem(401, 'the key is wrong')
      request.caller = caller
      request.author = { by: caller.by, address: origin.address }
      if (name !== undefined && !at && !request.routeOptions.config.mayBeAway) throw missing(namespaces, name)
      checkRole(request.caller, request.routeOptions.config.role ?? 'owner')
      const { registry } = request.at
      const age = registry.follower.confirmedMs()
      if (age <= config.REGISTRY_STALE_MAX) return
      options.onLimit('REGISTRY_STALE_MAX')
      const { reason } = options.health()
      throw new Problem(503, `Kafka has not confirmed the registry for ${Math.round(age)} ms${reason ? ` (${reason})` : ''}`, { retryAfter: 2 })
    })
    for (const kind of resourceKinds) if (kind !== 'namespace') addResourceRoutes(api, kind, options)
    addNamespaceRoutes(api, options)
    addImportRoute(api, options)
    addExplainRoute(api, options)
    addSessionRoutes(api)
    addRetainedRoutes(api)
    addSubscriptionActions(api)
    const streams = new PastStreams({ max: config.HISTORY_STREAMS_MAX, onLimit: options.onLimit })
    addHistoryRoutes(api, streams)
    addAtRoutes(api, streams)
    addWhatIfRoute(api, options, streams)
    addExplainDeliveryRoute(api, streams)
    addChangesRoute(api, streams)
    addEraseRoute(api)
  })
  return app
}
