/** How every service writes its log: a line of JSON each, with its time, level, service and what it is about as fields; secrets never. */
import { createRequire } from 'node:module'
import { type DestinationStream, type Level, type Logger, pino } from 'pino'
import { readSettings, SettingError } from '../settings/setting.ts'
import { Repeats } from './repeats.ts'
import { type TelemetryConfig, telemetrySettings } from './telemetry-settings.ts'

/** Fields whose values are nobody's business, should a line ever have one. */
const secrets = ['password', 'token', 'authorization', 'secret', 'authenticationData', 'privateKey'].flatMap((name) => [name, `*.${name}`])

export interface LoggerOptions {
  /** gateway, router, registry or door. */
  readonly service: string
  /** Which of them, where there may be several. */
  readonly instance?: string
  readonly config: Pick<TelemetryConfig, 'LOG_LEVEL' | 'LOG_FORMAT' | 'LOG_LINES_PER_SECOND_MAX'>
  /** Standard output when not given. */
  readonly destination?: DestinationStream
  readonly isTerminal?: boolean
  readonly now?: () => number
}

const repeatsOf = new WeakMap<object, Repeats>()

/** Lines that a logger of `createLogger` has withheld since the start; 0 for others. */
export function linesWithheld(logger: object): number {
  return repeatsOf.get(logger)?.withheld ?? 0
}

/** For people. Nobody else loads it. */
function prettily(destination: DestinationStream, hasColors: boolean): DestinationStream {
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as { prettyFactory: (options: object) => (line: string) => string }
  const shown = prettyFactory({ ignore: 'pid,name', messageFormat: '{name}: {msg}', colorize: hasColors, translateTime: 'SYS:HH:MM:ss.l' })
  return { write: (line) => destination.write(shown(line)) }
}

export function createLogger(options: LoggerOptions): Logger {
  const { service, instance, config, destination, isTerminal = process.stdout.isTTY, now = Date.now } = options
  const repeats = new Repeats(config.LOG_LINES_PER_SECOND_MAX)
  let isTelling = false
  let timer: NodeJS.Timeout | null = null
  const tell = (): void => {
    timer = null
    isTelling = true
    for (const { kind, more } of repeats.due()) {
      const [level = '', ...text] = kind.split(' ')
      if (level in pino.levels.values) logger[level as Level]({ more }, text.join(' '))
      else logger.warn({ more }, 'lines of other kinds')
    }
    isTelling = false
  }
  const out = destination ?? pino.destination({ fd: 1, sync: true })
  const isPretty = config.LOG_FORMAT === 'pretty' || (config.LOG_FORMAT === '' && isTerminal)
  const logger: Logger = pino(
    {
      level: config.LOG_LEVEL,
      base: { name: service, pid: process.pid, ...(instance !== undefined && instance !== service && { id: instance }) },
      serializers: { error: pino.stdSerializers.err },
      redact: { paths: secrets, censor: '(withheld)' },
      hooks: {
        logMethod(args, method, level) {
          const [first, second] = args as readonly unknown[]
          const text = typeof first === 'string' ? first : typeof second === 'string' ? second : ''
          const kind = `${pino.levels.labels[level] ?? 'info'} ${text}`
          if (isTelling || repeats.take(kind, now())) method.apply(this, args)
          else if (timer === null) timer = setTimeout(tell, 1000).unref()
        },
      },
    },
    isPretty ? prettily(out, isTerminal) : out,
  )
  repeatsOf.set(logger, repeats)
  return logger
}

/** The logger of a process; one whose settings are wrong ends here, with the setting's name. */
export function openLogger(service: string, instance: string | undefined, environment: Readonly<Record<string, string | undefined>>): Logger {
  try {
    return createLogger({ service, ...(instance !== undefined && { instance }), config: readSettings(telemetrySettings, environment) })
  } catch (error) {
    if (!(error instanceof SettingError)) throw error
    pino({ base: { name: service, pid: process.pid } }).fatal(error.message)
    process.exit(1)
  }
}
