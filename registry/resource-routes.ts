/** PUT, GET, DELETE and list of one kind of resource. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { hashOf, makeKey } from '../access/api-keys.ts'
import { splitSubscriptionName, subscribedTopic } from '../model/event-subscriptions.ts'
import type { ApiKeyRole, Resource, ResourceKind } from '../model/registry-resources.ts'
import type { ApiOptions } from './api-options.ts'
import type { Command } from './command.ts'
import { beforeDelete, beforePut, findConsent, findForPut } from './event-resources.ts'
import type { ServedNamespace } from './namespaces.ts'
import { readPage } from './paging.ts'
import { withPasswordHashed } from './password-field.ts'
import { Problem, type Violation } from './problem.ts'
import { readBody, resourceSchemas } from './resource-schemas.ts'
import { deleteCommand, findResource, matchesTag, namesOfKind, notFound, pageOfNames, putCommand, type Representation, representation } from './resources.ts'
import { statusOf } from './route-status.ts'
import type { Found } from './rules.ts'
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
  const own = kind === 'eventSubscriptions' ? splitSubscriptionName(name).subscription : name
  if (named !== undefined && named !== own && named !== name) violations.push({ field: 'name', value: named, rule: `must be the name in the path, “${own}”` })
  if (violations.length > 0) throw badRequest(violations)
  onWarnings(warnings)
  return properties
}

/** One PUT of a resource, on its way. */
export interface PutOfResource {
  readonly at: ServedNamespace
  readonly command: Command
  /** A key that is made by it: said this once, the log holds its hash alone. */
  readonly key?: string | undefined
  readonly show: (resource: Resource, warnings: readonly string[]) => Representation
}

export interface AskedPut {
  readonly kind: ResourceKind
  readonly name: string
  readonly properties: Json
  readonly found?: Found | undefined
  /** Those of the request when not given. */
  readonly warnings?: string[]
}

/** The command of a request. */
export function commandOf(request: FastifyRequest, { kind, name, properties, found, warnings = request.warnings }: AskedPut, options: ApiOptions): Command {
  return putCommand({
    kind,
    name,
    properties,
    limits: options.config,
    author: request.author,
    warnings,
    found,
    ifMatch: request.headers['if-match'],
    ifNoneMatch: request.headers['if-none-match'],
  })
}

export async function carryOutPut(request: FastifyRequest, reply: FastifyReply, { at, command, key, show }: PutOfResource): Promise<object> {
  const { warnings } = request
  if (isDryRun(request)) {
    const { before, after } = at.registry.preview(command)
    return { dryRun: true, change: before ? 'update' : 'create', ...(after ? show(after, warnings) : {}) }
  }
  const { before, after } = await at.registry.change(command)
  if (!after) throw new Problem(503, 'the change was written but cannot be read; ask again', { retryAfter: 1 })
  const answer = show(after, warnings)
  if (key !== undefined && !before) Object.assign(answer.properties, { key })
  return reply
    .code(before ? 200 : 201)
    .header('etag', after.etag)
    .send(answer)
}

/** Answers with the resource, or with 304. */
export function sendResource(request: FastifyRequest, reply: FastifyReply, resource: Resource, show: PutOfResource['show']): object {
  reply.header('etag', resource.etag)
  const ifNoneMatch = request.headers['if-none-match']
  if (ifNoneMatch !== undefined && matchesTag(ifNoneMatch, resource.etag, true)) return reply.code(304).send()
  return show(resource, [])
}

/** `?deleteData=true`: a topic's events go with it, at once. */
function isWithData(request: FastifyRequest): boolean {
  const { deleteData } = request.query as { readonly deleteData?: string }
  if (deleteData === undefined || deleteData === 'false') return false
  if (deleteData === 'true') return true
  throw badRequest([{ field: 'deleteData', value: deleteData, rule: 'true or false' }])
}

export function addResourceRoutes(api: FastifyInstance, kind: Exclude<ResourceKind, 'namespace'>, options: ApiOptions): void {
  const collection = kind === 'eventSubscriptions' ? '/namespaces/:ns/topics/:topic/eventSubscriptions' : `/namespaces/:ns/${kind}`
  const path = `${collection}/:name`
  /** What the names in the registry begin with, before the one in the path. */
  const prefixOf = (request: FastifyRequest): string => (kind === 'eventSubscriptions' ? `${(request.params as { readonly topic: string }).topic}/` : '')
  const nameOf = (request: FastifyRequest): string => `${prefixOf(request)}${(request.params as { readonly name: string }).name}`
  const showIn =
    ({ name }: ServedNamespace): PutOfResource['show'] =>
    (resource, warnings) =>
      representation(resource, name, warnings)
  const reading = { kind, role: roleOf(kind, true) }
  const writing = { kind, role: roleOf(kind, false) }

  api.put<{ Body: Json }>(path, {
    config: writing,
    schema: { body: resourceSchemas[kind] },
    preValidation: async (request) => {
      request.body = readProperties(kind, nameOf(request), request.body, (warnings) => request.warnings.push(...warnings)) as Json
    },
    handler: async (request, reply) => {
      const { at } = request
      const name = nameOf(request)
      const key = kind === 'apiKeys' && !at.registry.view.apiKeys.has(name) ? makeKey() : undefined
      const properties = kind === 'clients' ? await withPasswordHashed(request.body, at.registry.view, name, options.config.PASSWORD_HASH_COST) : request.body
      const asked = { kind, name, properties, found: key === undefined ? await findForPut(kind, name, properties, at) : { newKeyHash: hashOf(key) } }
      const consent = isDryRun(request) ? undefined : await findConsent(commandOf(request, { ...asked, warnings: [] }, options), at, options.askWebhook)
      const command = commandOf(request, { ...asked, found: { ...asked.found, consent } }, options)
      if (!isDryRun(request)) await beforePut(command, at)
      return carryOutPut(request, reply, { at, command, key, show: showIn(at) })
    },
  })

  api.get(path, { config: reading }, async (request, reply) => {
    const { at } = request
    const resource = findResource(at.registry.view, kind, nameOf(request))
    if (!resource) throw notFound(kind, nameOf(request))
    const status = await statusOf(kind, at, request.caller.by)
    return sendResource(request, reply, resource, (shown, warnings) => ({ ...showIn(at)(shown, warnings), ...status(shown) }))
  })

  api.delete(path, { config: writing }, async (request, reply) => {
    const { registry, name } = request.at
    const asked = { kind, name: nameOf(request), author: request.author, ifMatch: request.headers['if-match'] }
    const { before } = registry.preview(deleteCommand({ ...asked, isDryRun: true }))
    if (isDryRun(request)) {
      return { dryRun: true, change: 'delete', ...(before ? representation(before, name) : {}) }
    }
    const command = deleteCommand(asked)
    await beforeDelete(command, isWithData(request), request.at)
    await registry.change(command)
    return reply.code(204).send()
  })

  api.get(collection, { config: reading }, async (request) => {
    const { registry, name: namespace } = request.at
    const { top, after, nextLink } = readPage(request)
    const prefix = prefixOf(request)
    if (prefix !== '' && !subscribedTopic(registry.view, prefix.slice(0, -1))) throw notFound('topics', prefix.slice(0, -1))
    const names = pageOfNames(namesOfKind(registry.view, kind), prefix + after, top + 1).filter((name) => name.startsWith(prefix))
    const page = names.slice(0, top)
    const status = await statusOf(kind, request.at, request.caller.by)
    const found = page.flatMap((name) => findResource(registry.view, kind, name) ?? [])
    const value = found.map((resource) => ({ ...representation(resource, namespace), ...status(resource) }))
    return { value, ...(names.length > top ? nextLink(page.at(-1)!.slice(prefix.length)) : {}) }
  })
}
