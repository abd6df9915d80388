/** The order of test files: what lasts half a minute and more begins first, or it would run alone at the end. Then the largest first. */
import { statSync } from 'node:fs'

/** Below test/, without `.test.ts`; the longest first. */
export const longest: readonly string[] = [
  'clients/cli',
  'integration/cluster/zombies',
  'hostile/hostile',
  'integration/cluster/two-of-each',
  'integration/log/secured',
  'integration/stack/compose',
  'integration/stack/supervisor',
  'clients/replay',
  'clients/replay-command',
  'integration/stack/image',
  'integration/log/broker-killed',
  'hostile/kafka-away',
  'integration/stack/namespaces',
  'integration/stack/bad-days',
]

interface TestFile {
  readonly path: string
}

/** What jest asks of one (jest.config.mjs). It keeps no times of former runs: a CI has none. */
export default class Sequencer {
  sort<T extends TestFile>(files: readonly T[]): T[] {
    const weight = ({ path }: T) => {
      const at = longest.findIndex((name) => path.endsWith(`/test/${name}.test.ts`))
      return at < 0 ? statSync(path).size : Number.MAX_SAFE_INTEGER - at
    }
    const weighed = files.map((file) => ({ file, weight: weight(file) }))
    return weighed.sort((a, b) => b.weight - a.weight).map(({ file }) => file)
  }

  cacheResults(): void {}

  allFailedTests<T extends TestFile>(files: readonly T[]): readonly T[] {
    return files
  }
}
