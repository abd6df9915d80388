/** What the processes that a test has started said last: shown when it fails (environment.ts), for a failure that cannot be had again. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The environment looks here, from outside of the context in which tests run: what each has to say, by who it is. */
const speakersKey = Symbol.for('loggerhead.speakers')
type Speakers = Map<object, () => string>

const speakers: Speakers = new Map()
Object.assign(globalThis, { [speakersKey]: speakers })

/** From now on a failure shows what `say` returns, until `fallsSilent`. */
export function speaks(who: object, say: () => string): void {
  speakers.set(who, say)
}

export function fallsSilent(who: object): void {
  speakers.delete(who)
}

export const endOf = (text: string, lines: number): string => text.trimEnd().split('\n').slice(-lines).join('\n')

/** The last lines of each log file in a folder, below its name. */
export function endOfLogs(folder: string, lines = 25): string {
  try {
    const files = readdirSync(folder).filter((file) => file.endsWith('.log'))
    return files.map((file) => `--- ${file}\n${endOf(readFileSync(join(folder, file), 'utf8'), lines)}`).join('\n')
  } catch (error) {
    return `--- no logs: ${(error as Error).message}`
  }
}

/** Everything that is to be said now; called by the environment with the global object of the tests. */
export function lastWords(global: object): string {
  const all = (global as { readonly [speakersKey]?: Speakers })[speakersKey]
  return [...(all?.values() ?? [])].map((say) => `${say()}\n`).join('')
}
