import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const asked = new Map<string, Promise<string>>()

/** What `java -version` says, asked once: it takes a JVM to answer. Rejects when there is no such Java. */
export function javaVersion(java: string): Promise<string> {
  const known = asked.get(java)
  if (known) return known
  const answer = run(java, ['-version'], { timeout: 20_000 }).then(({ stdout, stderr }) => stdout + stderr)
  asked.set(java, answer)
  return answer
}

/** The major version in it: 17 from `openjdk version "17.0.15"`, 8 from `"1.8.0_392"`. */
export function javaMajor(version: string): number | undefined {
  const [, first, second] = /version "(\d+)(?:\.(\d+))?/.exec(version) ?? []
  if (first === undefined) return undefined
  return first === '1' ? Number(second) : Number(first)
}
