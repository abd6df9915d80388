/** `loggerhead pki init | issue | revoke`: a small certificate authority; what registers its certificates goes to standard output, for `apply -f -`. */
import { type Command, Option } from 'commander'
import { parse, stringify } from 'yaml'
import type { Json } from './api-client.ts'
import { Failure } from './failure.ts'
import { PkiFolder } from './pki-folder.ts'
import { surroundings, wholeNumber } from './surroundings.ts'

/** Client certificates are found again in many places of a fleet; a server's must be renewed as browsers demand. */
const daysOf = { client: 365, server: 397 } as const

interface FolderOption {
  readonly folder: string
}

function withFolder(command: Command): Command {
  return command.option('--folder <folder>', 'folder of the authority', 'pki')
}

/** A file's name, a client's name (CL-01) and a common name at once. */
function checkName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}$/.test(name))
    throw new Failure(`“${name}” is not 1 to 64 letters, digits, “-”, “:”, “.” and “_”, beginning with a letter or digit`)
}

function readAttributes(pairs: readonly string[]): Json {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, key, text] = /^([A-Za-z0-9_]+)=(.*)$/s.exec(pair) ?? []
      if (key === undefined || text === undefined) throw new Failure(`--attribute: “${pair}” is not key=value, the key of letters, digits and “_”`)
      return [key, /^-?\d{1,15}$/.test(text) ? Number(text) : text]
    }),
  )
}

/** What registers a client: for `loggerhead apply`. */
function clientManifest(name: string, attributes: Json): string {
  return stringify({
    kind: 'clients',
    name,
    properties: { clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' }, attributes },
  })
}

/** The same client, shut out. */
function disabledManifest(manifest: string): string {
  const client = parse(manifest) as { readonly properties: Json }
  return stringify({ ...client, properties: { ...client.properties, state: 'Disabled' } })
}

export function addPkiCommands(program: Command): void {
  const pki = program.command('pki').description('a small certificate authority for development and small fleets')

  withFolder(pki.command('init'))
    .description('make a root and an intermediate; prints what registers the intermediate, for apply -f -')
    .option('--name <name>', 'name of the authority', 'Loggerhead')
    .option('--register-as <name>', 'name of the CA certificate in the registry', 'pki')
    .action(async ({ folder, name, registerAs }: FolderOption & { readonly name: string; readonly registerAs: string }, command: Command) => {
      const { print, note } = surroundings(command)
      if (!/^[^\p{C}#]{1,40}$/u.test(name)) throw new Failure('--name: 1 to 40 characters')
      const files = new PkiFolder(folder)
      const { makeAuthorities } = await import('./pki.ts')
      const made = await makeAuthorities(name, Date.now())
      files.writeAuthorities(made)
      note(`${files.file('root.pem')} is what devices trust; keep ${files.file('root.key')} away from machines that are on a network`)
      print(
        stringify({ kind: 'caCertificates', name: registerAs, properties: { encodedCertificate: made.intermediate.certificate, description: name } }).trimEnd(),
      )
    })

  withFolder(pki.command('issue'))
    .description('issue a certificate with a new key; for a client, prints what registers it, for apply -f -')
    .argument('<name>', 'common name: a client’s authentication name, or the name of a server')
    .addOption(new Option('--for <use>', 'who shows it').choices(['client', 'server']).default('client'))
    .option('--host <host...>', 'DNS names and IP addresses of a server; its name by default')
    .option('--attribute <key=value...>', 'attributes of the client')
    .option('--days <n>', `how long it is valid; ${daysOf.client} for a client, ${daysOf.server} for a server`, wholeNumber('--days', 1, 3650))
    .action(
      async (
        name: string,
        options: FolderOption & {
          readonly for: 'client' | 'server'
          readonly host?: readonly string[]
          readonly attribute?: readonly string[]
          readonly days?: number
        },
        command: Command,
      ) => {
        const { print, note } = surroundings(command)
        const isServer = options.for === 'server'
        checkName(name)
        if (isServer && options.attribute) throw new Failure('--attribute: a server has none')
        if (!isServer && options.host) throw new Failure('--host goes with --for server only')
        const files = new PkiFolder(options.folder)
        const issuer = files.intermediate()
        files.checkFree(name)
        if (!isServer && files.wasRevoked(name))
          throw new Failure(`a certificate of “${name}” was revoked, and a new one would let that in again: choose another name`)
        const { issueLeaf } = await import('./pki.ts')
        const hosts = isServer ? (options.host ?? [name]) : []
        const made = await issueLeaf(issuer, { use: options.for, commonName: name, hosts, days: options.days ?? daysOf[options.for], now: Date.now() })
        const manifest = isServer ? undefined : clientManifest(name, readAttributes(options.attribute ?? []))
        // Devices trust the root: a server shows what leads there.
        files.writeIssued(name, isServer ? { ...made, certificate: made.certificate + issuer.certificate } : made, manifest)
        note(
          isServer
            ? `TLS_CERT=${files.file('issued', `${name}.pem`)} TLS_KEY=${files.file('issued', `${name}.key`)}`
            : `--cert ${files.file('issued', `${name}.pem`)} --key ${files.file('issued', `${name}.key`)}`,
        )
        if (manifest !== undefined) print(manifest.trimEnd())
      },
    )

  withFolder(pki.command('revoke'))
    .description('revoke a certificate: writes crl.pem; for a client, prints what shuts it out of the registry, for apply -f -')
    .argument('<name>', 'the name it was issued under')
    .action(async (name: string, { folder }: FolderOption, command: Command) => {
      const { print, note } = surroundings(command)
      checkName(name)
      const files = new PkiFolder(folder)
      const issuer = files.intermediate()
      const certificate = files.issued(name)
      const manifest = files.manifest(name)
      const { makeRevocationList, readRevoked, serialNumberOf } = await import('./pki.ts')
      const before = files.revocationList()
      const serialNumber = serialNumberOf(certificate)
      const revoked = [...(before === undefined ? [] : readRevoked(before)), { serialNumber, at: new Date() }]
      files.writeRevoked(name, serialNumber, await makeRevocationList(issuer, revoked, Date.now()))
      note(`${files.file('crl.pem')} lists ${revoked.length} certificate${revoked.length === 1 ? '' : 's'}`)
      if (manifest !== undefined) print(disabledManifest(manifest).trimEnd())
    })
}
