/** `loggerhead clients list`, `groups get`, `spaces put`, `bindings delete`, …, and `apply` and `import`. */
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import { text as textOf } from 'node:stream/consumers'
import type { Command } from 'commander'
import { parse } from 'yaml'
import type { ApiClient, Json } from './api-client.ts'
import { carryOut, planApply } from './apply.ts'
import { Failure } from './failure.ts'
import { type Kind, kinds } from './kinds.ts'
import { readManifests } from './manifests.ts'
import { planText } from './plan.ts'
import { surroundings } from './surroundings.ts'

async function read(file: string): Promise<string> {
  if (file === '-') return textOf(process.stdin)
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Failure(`cannot read “${file}”: ${(error as Error).message}`)
  }
}

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

const pathOf = (api: ApiClient, { kind }: Kind, name: string): string => (kind === 'namespace' ? api.path() : api.path(kind, name))

function addKind(program: Command, kind: Kind): void {
  const isNamespace = kind.kind === 'namespace'
  const group = program
    .command(kind.command)
    .alias(kind.kind === kind.command ? `${kind.command}s` : kind.kind)
    .description(`${isNamespace ? 'the ' : ''}${kind.about}`)
  const argument = isNamespace ? '' : ' <name>'
  const nameOf = (args: readonly unknown[]): string => (isNamespace ? '' : String(args[0]))

  if (!isNamespace) {
    group
      .command('list')
      .description(`all ${kind.about}`)
      .action(async (_options: object, command: Command) => {
        const { api, show } = surroundings(command)
        show(await api.listAll(api.path(kind.kind)), kind.columns)
      })
    group
      .command('delete <name>')
      .description('delete one')
      .option('--dry-run', 'check it and change nothing')
      .action(async (name: string, { dryRun }: { readonly dryRun?: boolean }, command: Command) => {
        const { api, note } = surroundings(command)
        await api.call('DELETE', `${api.path(kind.kind, name)}${dryRun ? '?dryRun=true' : ''}`)
        note(dryRun ? `${kind.kind}/${name} would be deleted` : `${kind.kind}/${name} is deleted`)
      })
  }
  group
    .command(`get${argument}`)
    .description('show one')
    .action(async (...args: readonly unknown[]) => {
      const { api, show } = surroundings(args.at(-1) as Command)
      show(await api.call('GET', pathOf(api, kind, nameOf(args))))
    })
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
      const body = parseBody(kind, given ?? (await read(file!)))
      show(await api.call('PUT', `${pathOf(api, kind, nameOf(args))}${dryRun ? '?dryRun=true' : ''}`, body))
    })
}

export function addResourceCommands(program: Command): void {
  for (const kind of kinds) addKind(program, kind)

  program
    .command('apply')
    .description('make the registry what files say: shows the plan, then carries it out')
    .requiredOption('-f, --file <path...>', 'file or folder of YAML or JSON files')
    .option('--dry-run', 'show the plan and change nothing')
    .option('--prune', 'delete what is not in the files, of the kinds that are in them')
    .action(async (options: { readonly file: readonly string[]; readonly dryRun?: boolean; readonly prune?: boolean }, command: Command) => {
      const { api, format, print, note, show } = surroundings(command)
      const wanted = readManifests(options.file)
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
      let last: Json = {}
      for await (const result of api.stream(`${api.path()}/clients:import${dryRun ? '?dryRun=true' : ''}`, input, 'application/x-ndjson')) {
        const { progress, error } = result as { readonly progress?: Json; readonly error?: Json }
        if (progress) note(`${progress.lines} lines: ${progress.created} created, ${progress.updated} updated, ${progress.failed} failed`)
        else if (error) note(`line ${error.line}: ${error.detail}`)
        else last = result
      }
      show(last)
      if (last.done !== true)
        throw new Failure(`the import stopped before its end: ${last.stopped ?? 'the connection broke off'}; what came before is in, and it can be repeated`)
      if (Number(last.failed) > 0) throw new Failure(`${last.failed} lines were refused`)
    })
}
