import type { DevelopmentCertificates } from '../access/certificates.ts'
import { durabilityOf, type StackConfig } from './config.ts'

export interface RunningStack {
  readonly config: StackConfig
  /** host:port, comma-separated. */
  readonly brokers: string
  /** How that Kafka came about, e.g. `Apache Kafka 4.3.1, started here`. */
  readonly kafka: string
  /** Certificate files of the development profile. */
  readonly certificates: DevelopmentCertificates | undefined
  readonly apiKeyFile: string
  /** Relative to this, file names are shown when shorter. */
  readonly show: (path: string) => string
}

/** Where a client on this machine reaches what is bound there. */
export function localHost(bind: string): string {
  return bind === '' || bind === '0.0.0.0' || bind === '::' ? '127.0.0.1' : bind
}

function quote(text: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** What to print when everything is up: where things are and lines to try them with, which work as they are printed. */
export function nextSteps({ config, brokers, kafka, certificates, apiKeyFile, show }: RunningStack): string {
  const host = localHost(config.values.LOGGERHEAD_BIND)
  const lines: string[] = ['', 'Loggerhead is up.', '']
  const entry = (name: string, text: string) => lines.push(`  ${name.padEnd(12)} ${text}`)
  for (const [index, ports] of config.listeners.entries()) {
    const of = config.listeners.length > 1 ? ` ${index + 1}` : ''
    if (ports.mqtt) entry(`MQTT${of}`, `mqtt://${host}:${ports.mqtt}`)
    if (ports.mqtts) entry(`MQTTS${of}`, `mqtts://localhost:${ports.mqtts}`)
    if (ports.ws) entry(`WS${of}`, `ws://${host}:${ports.ws}/mqtt`)
    if (ports.wss) entry(`WSS${of}`, `wss://localhost:${ports.wss}/mqtt`)
  }
  for (const text of config.namespaceListeners.filter((each) => each !== '')) entry('Namespaces', text)
  entry('HTTP', `http://${host}:${config.values.HTTP_PORT}   (API, /healthz, /metrics)`)
  entry('Kafka', `${brokers}   (${kafka}; topics ${config.values.LOGGERHEAD_PREFIX}.${config.values.LOGGERHEAD_NAMESPACE}.*)`)
  entry('Data', `${show(config.dataFolder)}   (the HTTP API's key is in ${show(apiKeyFile)})`)
  entry('Durability', durabilityOf(config))
  const [first] = config.listeners
  if (first?.mqtt && !config.production) {
    const to = `-h ${host} -p ${first.mqtt}`
    lines.push('', 'Try it, in two terminals:', `  mosquitto_sub ${to} -q 1 -t 'sample/#' -v`, `  mosquitto_pub ${to} -q 1 -t sample/topic1 -m hello`)
    lines.push('', 'Or over HTTP:', `  curl -d hello 'http://${host}:${config.values.HTTP_PORT}/mqtt/messages?topic=sample/topic1'`)
  }
  if (first?.mqtts && certificates) {
    const with_ = `-h localhost -p ${first.mqtts} --cafile ${quote(show(certificates.ca))} --cert ${quote(show(certificates.clientCertificate))} --key ${quote(show(certificates.clientKey))}`
    lines.push(
      '',
      'With a client certificate (client sample_client):',
      `  mosquitto_sub ${with_} -i sample_client -q 1 -t sample/topic1 -v`,
      `  mosquitto_pub ${with_} -i sample_client_2 -q 1 -t sample/topic1 -m hello`,
    )
  }
  lines.push(
    '',
    "The resources, with the owner's key:",
    `  curl -H "Authorization: Bearer $(cat ${quote(show(apiKeyFile))})" http://${host}:${config.values.HTTP_PORT}/namespaces/default/clients`,
    '',
    'Ctrl-C stops everything; npm run reset clears the data.',
  )
  return lines.join('\n')
}
