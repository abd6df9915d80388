/** An MQTT connection of a command: what it takes to make one, and why it was refused. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { IClientOptions, MqttClient } from 'mqtt'
import { reasonCodeOf, reasonName } from '../mqtt/reason-code.ts'
import { Failure } from './failure.ts'

export interface ConnectionOptions {
  readonly clientId?: string
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly username?: string
  readonly v3?: boolean
}

/** Who the client is and whom it trusts; where it connects is for the command to say. */
export function withConnectionOptions(command: Command): Command {
  return command
    .option('-i, --client-id <id>', 'client id; any by default')
    .option('--ca <file>', 'PEM file of the CA that signed the server’s certificate')
    .option('--cert <file>', 'PEM file of the certificate to show')
    .option('--key <file>', 'PEM file of its key')
    .option('-u, --username <name>', 'user name: the client’s authentication name')
    .option('--v3', 'MQTT 3.1.1 instead of 5')
}

function readPem(option: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file)
  } catch (error) {
    throw new Failure(`${option}: cannot read “${file}”: ${(error as Error).message}`)
  }
}

/** Why the broker said no, in words. */
export function refusal(error: Error & { readonly code?: unknown }): string {
  const { code } = error
  if (typeof code !== 'number') return error.message || String(code)
  // MQTT 3.1.1 has its own few.
  const known = code > 0 && code < 0x80 ? (reasonCodeOf(code) ?? code) : code
  return `${reasonName(known)} (0x${code.toString(16).padStart(2, '0')})`
}

/** Does not reconnect. Throws Failure. */
export async function connect(url: string, options: ConnectionOptions): Promise<MqttClient> {
  const [ca, cert, key] = [readPem('--ca', options.ca), readPem('--cert', options.cert), readPem('--key', options.key)]
  const settings: IClientOptions = {
    protocolVersion: options.v3 ? 4 : 5,
    clientId: options.clientId ?? `loggerhead-cli-${process.pid}-${Date.now().toString(36)}`,
    reconnectPeriod: 0,
    connectTimeout: 10_000,
    ...(/^wss?:/.test(url) && URL.canParse(url) && new URL(url).pathname === '/' ? { path: '/mqtt' } : {}),
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(options.username === undefined ? {} : { username: options.username }),
  }
  // Loaded only when it is needed: most commands speak HTTP.
  const { default: mqtt } = await import('mqtt')
  try {
    return await mqtt.connectAsync(url, settings, false)
  } catch (error) {
    throw new Failure(`${url} does not let this client in: ${refusal(error as Error)}`, { cause: error })
  }
}
