/** PUT, GET, DELETE and list of one kind of resource. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiKeyRole, ResourceKind } from '../model/registry-resources.ts'
import type { ApiOptions } from './api.ts'
import { hashOf, makeKey } from './callers.ts'
import { readPage } from './paging.ts'
import { Problem, type Violation } from './problem.ts'
import { readBody, resourceSchemas } from './resource-schemas.ts'
import { deleteCommand, findResource, matchesTag, namesOfKind, notFound, pageOfNames, putCommand, representation } from './resources.ts'
import { badRequest } from './violations.ts'

type Json = Readonly<Record<string, unknown>>

/** Keys and the namespace's own settings are the owner's business. */
export function roleOf(kind: ResourceKind, isRead: boolean): ApiKeyRole {
  if (kind === 'apiKeys') return 'owner'
  if (isRead) return 'reader'
  return kind === 'namespace' ? 'owner' : 'operator'
}

/** `?dryRun=true`: everything is checked and nothing is written. */
export function isDryRun(request: FastifyRequest): boolean {
  const { dryRun } = request.query as { readonly dryRun?: string }
  if (dryRun === undefined || dryRun === 'false') return false
  if (dryRun === 'true') return true
  throw badRequest([{ field: 'dryRun', value: dryRun, rule: 'true or false' }])
}

/** The properties of a body, checked for what stands beside them. Throws Problem. */
export function readProperties(kind: ResourceKind, name: string, body: unknown, onWarnings: (warnings: readonly string[]) => void): unknown {
  const { properties, name: named, warnings, unknown } = readBody(kind, body)
  const violations: Violation[] = unknown.map((field) => ({ field, rule: 'is no field beside properties' }))
  if (named !== undefined && named !== name) violations.push({ field: 'name', value: named, rule: `must be the name in the path, “${name}”` })
  if (violations.length > 0) throw badRequest(violations)
  onWarnings(warnings)
  return properties
}

export function addResourceRoutes(api: FastifyInstance, kind: ResourceKind, options: ApiOptions): void {
  const { registry, namespace, config } = options
  const isNamespace = kind === 'namespace'
  const path = isNamespace ? '/namespaces/:ns' : `/namespaces/:ns/${kind}/:name`
  const nameOf = (request: FastifyRequest): string => (isNamespace ? namespace : (request.params as { readonly name: string }).name)
  const reading = { kind, role: roleOf(kind, true) }
  const writing = { kind, role: roleOf(kind, false) }

  api.put<{ Body: Json }>(path, {
    config: writing,
    schema: { body: resourceSchemas[kind] },
    preValidation: async (request) => {
      request.body = readProperties(kind, nameOf(request), request.body, (warnings) => request.warnings.push(...warnings)) as Json
    },
    handler: async (request, reply) => {
      const { warnings, caller } = request
      const name = nameOf(request)
      const key = kind === 'apiKeys' && !registry.view.apiKeys.has(name) ? makeKey() : undefined
      const command = putCommand({
        kind,
        name,
        properties: request.body,
        limits: config,
        by: caller.by,
        warnings,
        newKeyHash: key && hashOf(key),
        ifMatch: request.headers['if-match'],
        ifNoneMatch: request.headers['if-none-match'],
      })
      if (isDryRun(request)) {
        const { before, after } = registry.preview(command)
        return { dryRun: true, change: before ? 'update' : 'create', ...(after ? representation(after, namespace, warnings) : {}) }
      }
      const { before, after } = await registry.change(command)
      if (!after) throw new Problem(503, 'the change was written but cannot be read; ask again', { retryAfter: 1 })
      const answer = representation(after, namespace, warnings)
      // Said this once; the log holds its hash alone.
      if (key !== undefined && !before) Object.assign(answer.properties, { key })
      return reply
        .code(before ? 200 : 201)
        .header('etag', after.etag)
        .send(answer)
    },
  })

  api.get(path, { config: reading }, async (request, reply) => {
    const resource = findResource(registry.view, kind, nameOf(request))
    if (!resource) throw notFound(kind, nameOf(request))
    reply.header('etag', resource.etag)
    const ifNoneMatch = request.headers['if-none-match']
    if (ifNoneMatch !== undefined && matchesTag(ifNoneMatch, resource.etag, true)) return reply.code(304).send()
    return representation(resource, namespace)
  })
  if (isNamespace) return

  api.delete(path, { config: writing }, async (request, reply) => {
    const command = deleteCommand({ kind, name: nameOf(request), by: request.caller.by, ifMatch: request.headers['if-match'] })
    if (isDryRun(request)) {
      const { before } = registry.preview(command)
      return { dryRun: true, change: 'delete', ...(before ? representation(before, namespace) : {}) }
    }
    await registry.change(command)
    return reply.code(204).send()
  })

  api.get(`/namespaces/:ns/${kind}`, { config: reading }, async (request) => {
    const { top, after, nextLink } = readPage(request)
    const names = pageOfNames(namesOfKind(registry.view, kind), after, top + 1)
    const page = names.slice(0, top)
    const value = page.flatMap((name) => findResource(registry.view, kind, name) ?? []).map((resource) => representation(resource, namespace))
    return { value, ...(names.length > top ? nextLink(page.at(-1)!) : {}) }
  })
}
