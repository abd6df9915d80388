import type { Command } from 'commander'
import { defaultAudiences, tokenSettings } from '../access/token-settings.ts'
import { readClientAuthentication } from '../model/client-authentication.ts'
import { listed, readSettings } from '../settings/setting.ts'
import type { Json } from './api-client.ts'
import { Failure } from './failure.ts'
import { readText } from './input.ts'
import { surroundings } from './surroundings.ts'

const timeoutMs = 10_000
const documentBytesMax = 1_048_576

async function fetchJson(url: string): Promise<unknown> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), headers: { accept: 'application/json' } })
    if (!answer.ok) throw new Error(`it answers ${answer.status}`)
    const text = await answer.text()
    if (text.length > documentBytesMax) throw new Error('it is too large')
    return JSON.parse(text)
  } catch (error) {
    const { message, cause } = error as Error & { readonly cause?: { readonly code?: unknown } }
    throw new Failure(`the issuer’s keys at ${url} cannot be had: ${typeof cause?.code === 'string' ? cause.code : message}`)
  }
}

export function addTokenCommands(program: Command): void {
  const token = program.command('token').description('tokens of clients')
  token
    .command('check')
    .description('what a token says, and which rule it fails against the namespace’s settings; exit code 2 when it is refused')
    .argument('[file]', 'file with the token; - for standard input', '-')
    .option('--audience <audience...>', 'what tokens must be for where the namespace does not say (TOKEN_AUDIENCES of the gateways)')
    .action(async (file: string, { audience }: { readonly audience?: readonly string[] }, command: Command) => {
      const { api, environment, format, print, show } = surroundings(command)
      const text = (await readText(file)).trim()
      const { properties } = await api.call('GET', api.path())
      const { TOKEN_AUDIENCES, TOKEN_LEEWAY } = readSettings(tokenSettings, environment)
      const { examineToken, tokenText } = await import('./token-check.ts')
      const configuration = ((properties ?? {}) as Json).topicSpacesConfiguration as Json | undefined
      const hostNames = ((configuration?.customDomains ?? []) as readonly { readonly fullyQualifiedDomainName: string }[]).map(
        ({ fullyQualifiedDomainName }) => fullyQualifiedDomainName,
      )
      const report = await examineToken(text, {
        authentication: readClientAuthentication((configuration?.clientAuthentication ?? {}) as Json),
        tokenAudiences: audience ?? defaultAudiences(hostNames, listed(TOKEN_AUDIENCES)),
        leewayMs: TOKEN_LEEWAY,
        now: Date.now(),
        fetchJson,
      })
      if (format === 'table') print(tokenText(report))
      else show(report)
      if (!report.ok) process.exitCode = 2
    })
}
