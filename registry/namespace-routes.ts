/** The namespaces themselves: listed, made, changed and deleted (NS-01, NS-09). Their settings are a resource of each; that they are there, their host names and shards are the deployment's. */
import type { FastifyInstance } from 'fastify'
import { foldHostName } from '../model/namespaces.ts'
import type { Resource } from '../model/registry-resources.ts'
import { RegistryView } from '../model/registry-view.ts'
import type { ApiOptions } from './api-options.ts'
import { type Caller, checkDeployment } from './callers.ts'
import { findForPut } from './event-resources.ts'
import type { AskedNamespace } from './namespace-rules.ts'
import { type DeploymentPart, missing, type ServedNamespace } from './namespaces.ts'
import { readPage } from './paging.ts'
import { carryOutPut, commandOf, isDryRun, readProperties, roleOf, sendResource } from './resource-routes.ts'
import { azureDomainFields, resourceSchemas } from './resource-schemas.ts'
import { findResource, type Representation, representation } from './resources.ts'

type Json = Readonly<Record<string, unknown>>

/** As the schema has let it through. */
interface Body extends Json {
  readonly partitions?: number
  readonly topicSpacesConfiguration?: Json & { readonly customDomains?: readonly (Json & { readonly fullyQualifiedDomainName: string })[] }
}

/** What of a body is the deployment's, and what is the namespace's own. */
function parted({ partitions, ...rest }: Body, warnings: string[]): { readonly asked: AskedNamespace; readonly properties: Json } {
  const { customDomains, ...configuration } = rest.topicSpacesConfiguration ?? {}
  for (const [index, domain] of customDomains?.entries() ?? []) {
    for (const field of azureDomainFields.filter((name) => domain[name] !== undefined))
      warnings.push(`properties.topicSpacesConfiguration.customDomains[${index}].${field} means something to Azure only and was left out`)
  }
  return {
    asked: { partitions, hostNames: customDomains?.map(({ fullyQualifiedDomainName }) => fullyQualifiedDomainName) },
    properties: rest.topicSpacesConfiguration ? { ...rest, topicSpacesConfiguration: configuration } : rest,
  }
}

export function addNamespaceRoutes(api: FastifyInstance, options: ApiOptions): void {
  const { namespaces } = options
  const path = '/namespaces/:ns'
  const reading = { kind: 'namespace', role: roleOf('namespace', true) } as const
  const writing = { kind: 'namespace', role: roleOf('namespace', false) } as const

  const show =
    (name: string, { partitions, hostNames }: DeploymentPart = namespaces.entryOf(name)) =>
    (resource: Resource, warnings: readonly string[] = []): Representation => {
      const shown = representation(resource, name, warnings)
      const properties = shown.properties as Body
      const configuration = {
        ...properties.topicSpacesConfiguration,
        ...(hostNames[0] === undefined ? {} : { hostname: hostNames[0] }),
        customDomains: hostNames.map((host) => ({ fullyQualifiedDomainName: host })),
      }
      return { ...shown, properties: { ...properties, topicSpacesConfiguration: configuration, partitions } }
    }

  /** Of a namespace whose settings were never written: everything as it is by default. */
  const resourceOf = ({ name, registry }: ServedNamespace): Resource =>
    findResource(registry.view, 'namespace', name) ?? {
      kind: 'namespace',
      name,
      properties: { alternativeAuthenticationNameSources: [] },
      etag: '"default"',
      createdAt: 0,
      updatedAt: 0,
      by: 'registry',
      offset: -1,
    }

  /** A key of the namespace may send back what it has read, and change no more of it. */
  const permitted = (caller: Caller, name: string, asked: AskedNamespace): AskedNamespace => {
    if (caller.scope === 'deployment') return asked
    const known = namespaces.entryOf(name)
    const isSame = (hosts: readonly string[]): boolean =>
      hosts.length === known.hostNames.length && hosts.every((host, i) => foldHostName(host) === known.hostNames[i])
    if ((asked.hostNames && !isSame(asked.hostNames)) || (asked.partitions ?? known.partitions) !== known.partitions) checkDeployment(caller)
    return {}
  }

  api.get('/namespaces', { config: reading }, async (request) => {
    const { top, after, nextLink } = readPage(request)
    // A key of one namespace sees that one.
    const visible = namespaces.all().filter(({ name }) => name > after && (request.caller.scope === 'deployment' || name === request.at.name))
    const page = visible.slice(0, top)
    return { value: page.map((each) => show(each.name)(resourceOf(each))), ...(visible.length > top ? nextLink(page.at(-1)?.name ?? '') : {}) }
  })

  api.get(path, { config: reading }, async (request, reply) => {
    const { at } = request
    return sendResource(request, reply, resourceOf(at), show(at.name))
  })

  api.put<{ Body: Json; Params: { readonly ns: string } }>(path, {
    config: { ...writing, mayBeAway: true },
    schema: { body: resourceSchemas.namespace },
    preValidation: async (request) => {
      request.body = readProperties('namespace', request.params.ns, request.body, (warnings) => request.warnings.push(...warnings)) as Json
    },
    handler: async (request, reply) => {
      const { caller, warnings } = request
      const name = request.params.ns
      const { asked: wanted, properties } = parted(request.body, warnings)
      const asked = permitted(caller, name, wanted)
      const { begins, ...would } = namespaces.preview(name, asked)
      // Whatever is wrong with its settings is wrong before it begins.
      const there = namespaces.find(name)
      // Where a route begins in one that is not there yet is asked once it is.
      const known = there ? await findForPut('namespace', name, properties, there) : { messagesEnd: [0] }
      const put = { kind: 'namespace', name, properties } as const
      commandOf(request, { ...put, found: known, warnings: [] }, options).decide(there?.registry.view ?? new RegistryView(), Date.now())
      const dryRun = isDryRun(request)
      if (dryRun && begins) return { dryRun, change: 'create' }
      if (dryRun && !there) throw missing(namespaces, name)
      const at = dryRun && there ? there : await namespaces.put(name, asked, request.author)
      const found = at === there ? known : await findForPut('namespace', name, properties, at)
      return carryOutPut(request, reply, { at, command: commandOf(request, { ...put, found }, options), show: show(name, would) })
    },
  })

  // One that cannot be served can be deleted all the same.
  api.delete<{ Params: { readonly ns: string } }>(path, { config: { ...writing, mayBeAway: true } }, async (request, reply) => {
    checkDeployment(request.caller)
    const name = request.params.ns
    if (isDryRun(request)) {
      namespaces.previewRemoval(name)
      return { dryRun: true, change: 'delete' }
    }
    await namespaces.remove(name, request.author)
    return reply.code(204).send()
  })
}
