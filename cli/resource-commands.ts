/** `loggerhead clients list`, `groups get`, `spaces put`, `bindings delete`, …, and `apply` and `import`. */
import { createReadStream, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import { text as textOf } from 'node:stream/consumers'
import type { Command } from 'commander'
import { parse } from 'yaml'
import type { ApiClient, Json } from './api-client.ts'
import { carryOut, planApply } from './apply.ts'
import { Failure } from './failure.ts'
import { type ImportCounts, importProgress } from './import-progress.ts'
import { readText } from './input.ts'
import { type Kind, kindNamed, kinds, namespaceColumns } from './kinds.ts'
import { readManifests } from './manifests.ts'
import { planText } from './plan.ts'
import { allResources, resourcePath } from './resource-paths.ts'
import { surroundings } from './surroundings.ts'

/** Properties in JSON or YAML; for a CA certificate the PEM itself will do. */
function parseBody(kind: Kind, text: string): Json {
  if (kind.kind === 'caCertificates' && text.trimStart().startsWith('-----BEGIN')) return { encodedCertificate: text }
  let body: unknown
  try {
    body = parse(text)
  } catch (error) {
    throw new Failure(`the properties are neither JSON nor YAML: ${(error as Error).message.split('\n', 1)[0]}`)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Failure('the properties must be an object')
  return body as Json
}

const pathOf = (api: ApiClient, { kind }: Kind, name: string): string => resourcePath(api, kind, name)

async function list(kind: Kind, command: Command): Promise<void> {
  const { api, show } = surroundings(command)
  const rows: Json[] = []
  for await (const row of allResources(api, kind.kind)) rows.push(row)
  show(rows, kind.columns)
}

async function get(kind: Kind, name: string, command: Command): Promise<void> {
  const { api, show } = surroundings(command)
  show(await api.call('GET', pathOf(api, kind, name)))
}

async function remove(kind: Kind, name: string, dryRun: boolean, command: Command): Promise<void> {
  const { api, note } = surroundings(command)
  await api.call('DELETE', `${pathOf(api, kind, name)}${dryRun ? '?dryRun=true' : ''}`)
  note(dryRun ? `${kind.kind}/${name} would be deleted` : `${kind.kind}/${name} is deleted`)
}

/** `clients`, or `clients/vehicle-1`, or the two apart. Throws Failure. */
function targetOf(what: string, named: string | undefined): { readonly kind: Kind; readonly name: string | undefined } {
  const slash = what.indexOf('/')
  const kind = kindNamed(slash === -1 ? what : what.slice(0, slash))
  if (!kind) throw new Failure(`“${what}” is no kind of resource; there are ${kinds.map(({ command }) => command).join(', ')}`)
  return { kind, name: slash === -1 ? named : what.slice(slash + 1) }
}

/** Namespaces are listed and deleted beside each other, not each within itself as its settings are. */
function addNamespaces(group: Command): void {
  group
    .command('list')
    .description('all namespaces of the deployment')
    .action(async (_options: object, command: Command) => {
      const { api, show } = surroundings(command)
      show(await api.listAll('/namespaces'), namespaceColumns)
    })
  group
    .command('delete <name>')
    .description('end a namespace with everything inside')
    .option('--dry-run', 'check it and change nothing')
    .action(async (name: string, { dryRun }: { readonly dryRun?: boolean }, command: Command) => {
      const { api, note } = surroundings(command)
      await api.call('DELETE', `/namespaces/${encodeURIComponent(name)}${dryRun ? '?dryRun=true' : ''}`)
      note(dryRun ? `the namespace ${name} would be deleted` : `the namespace ${name} is deleted`)
    })
}

function addKind(program: Command, kind: Kind): void {
  const isNamespace = kind.kind === 'namespace'
  const group = program
    .command(kind.command)
    .alias(otherName(kind))
    .description(`${isNamespace ? 'the ' : ''}${kind.about}`)
  const argument = isNamespace ? '' : ' <name>'
  const nameOf = (args: readonly unknown[]): string => (isNamespace ? '' : String(args[0]))

  if (isNamespace) addNamespaces(group)
  else {
    group
      .command('list')
      .description(`all ${kind.about}`)
      .action((_options: object, command: Command) => list(kind, command))
    group
      .command('delete <name>')
      .description('delete one')
      .option('--dry-run', 'check it and change nothing')
      .action((name: string, { dryRun }: { readonly dryRun?: boolean }, command: Command) => remove(kind, name, dryRun ?? false, command))
  }
  group
    .command(`get${argument}`)
    .description('show one')
    .action((...args: readonly unknown[]) => get(kind, nameOf(args), args.at(-1) as Command))
  group
    .command(`put${argument} [properties]`)
    .description('write one: properties as JSON or YAML')
    .option('-f, --file <file>', 'read the properties from this file, - for standard input')
    .option('--dry-run', 'check it and change nothing')
    .action(async (...args: readonly unknown[]) => {
      const command = args.at(-1) as Command
      const { file, dryRun } = args.at(-2) as { readonly file?: string; readonly dryRun?: boolean }
      const given = args.at(-3) as string | undefined
      const { api, show } = surroundings(command)
      if ((given === undefined) === (file === undefined)) throw new Failure('give the properties either as an argument or with --file')
      const body = parseBody(kind, given ?? (await readText(file!)))
      show(await api.call('PUT', `${pathOf(api, kind, nameOf(args))}${dryRun ? '?dryRun=true' : ''}`, body))
    })
}

export function addResourceCommands(program: Command): void {
  for (const kind of kinds) addKind(program, kind)

  program
    .command('get <kind> [name]')
    .description('all resources of a kind, or one: get clients, get clients vehicle-1, get clients/vehicle-1')
    .action((what: string, named: string | undefined, _options: object, command: Command) => {
      const { kind, name } = targetOf(what, named)
      return name === undefined && kind.kind !== 'namespace' ? list(kind, command) : get(kind, name ?? '', command)
    })

  program
    .command('delete <kind> [name]')
    .description('delete a resource: delete clients vehicle-1, delete clients/vehicle-1')
    .option('--dry-run', 'check it and change nothing')
    .action((what: string, named: string | undefined, { dryRun }: { readonly dryRun?: boolean }, command: Command) => {
      const { kind, name } = targetOf(what, named)
      if (kind.kind === 'namespace') throw new Failure('a namespace is deleted with: namespace delete <name>')
      if (name === undefined || name === '') throw new Failure(`which of the ${kind.about}? Give a name`)
      return remove(kind, name, dryRun ?? false, command)
    })

  program
    .command('apply')
    .description('make the registry what files say: shows the plan, then carries it out')
    .requiredOption('-f, --file <path...>', 'file or folder of YAML or JSON files; - for standard input')
    .option('--dry-run', 'show the plan and change nothing')
    .option('--prune', 'delete what is not in the files, of the kinds that are in them')
    .action(async (options: { readonly file: readonly string[]; readonly dryRun?: boolean; readonly prune?: boolean }, command: Command) => {
      const { api, format, print, note, show } = surroundings(command)
      const wanted = readManifests(options.file, options.file.includes('-') ? await textOf(process.stdin) : '')
      const steps = await planApply(api, wanted, options.prune ?? false)
      if (format === 'table') print(planText(steps))
      else show(steps.map(({ change, kind, name, diff }) => ({ change, kind: kind.kind, name, diff })))
      if (options.dryRun) return
      await carryOut(api, steps, wanted, ({ change, kind, name }, answer) => {
        note(`${change}d ${kind.kind}${name === '' ? '' : `/${name}`}`)
        const { key } = (answer.properties ?? {}) as { readonly key?: string }
        if (key) note(`  its key, shown this once: ${key}`)
      })
    })

  program
    .command('import <file>')
    .description('import clients from lines of JSON, {"name": …, "properties": {…}}; - for standard input')
    .option('--dry-run', 'check every line and change nothing')
    .action(async (file: string, { dryRun }: { readonly dryRun?: boolean }, command: Command) => {
      const { api, note, show } = surroundings(command)
      if (file !== '-' && !statSync(file, { throwIfNoEntry: false })?.isFile()) throw new Failure(`there is no file “${file}”`)
      const input = Readable.toWeb(file === '-' ? process.stdin : createReadStream(file)) as ReadableStream
      const progress = await importProgress(note, file === '-' ? undefined : file)
      let last: Json = {}
      try {
        for await (const result of api.stream(`${api.path()}/clients:import${dryRun ? '?dryRun=true' : ''}`, input, 'application/x-ndjson')) {
          const { progress: counts, error } = result as { readonly progress?: ImportCounts; readonly error?: Json }
          if (counts) progress.at(counts)
          else if (error) progress.note(`line ${error.line}: ${error.detail}`)
          else last = result
        }
      } finally {
        progress.end('lines' in last ? (last as unknown as ImportCounts) : undefined)
      }
      show(last)
      if (last.done !== true)
        throw new Failure(`the import stopped before its end: ${last.stopped ?? 'the connection broke off'}; what came before is in, and it can be repeated`)
      if (Number(last.failed) > 0) throw new Failure(`${last.failed} lines were refused`)
    })
}

/** The kind as the API calls it; where the command is that already, in the other number. */
function otherName({ command, kind }: Kind): string {
  if (kind !== command) return kind
  return command.endsWith('s') ? command.slice(0, -1) : `${command}s`
}
