/** The order of test files: what lasts half a minute and more begins first, or it would run alone at the end. Then the largest first. */
import { statSync } from 'node:fs'

/** Below test/, without `.test.ts`. */
export const longest: readonly string[] = [
  'integration/cluster/zombies',
  'conformance/conformance',
  'integration/stack/supervisor',
  'hostile/hostile',
  'clients/cli',
  'clients/replay',
  'integration/cluster/two-of-each',
  'integration/log/broker-killed',
  'integration/log/secured',
  'integration/stack/compose',
  'integration/stack/image',
  'integration/stack/namespaces',
]

interface TestFile {
  readonly path: string
}

/** What jest asks of one (jest.config.mjs). It keeps no times of former runs: a CI has none. */
export default class Sequencer {
  sort<T extends TestFile>(files: readonly T[]): T[] {
    const weight = ({ path }: T) => (longest.some((name) => path.endsWith(`/test/${name}.test.ts`)) ? Number.MAX_SAFE_INTEGER : statSync(path).size)
    const weighed = files.map((file) => ({ file, weight: weight(file) }))
    return weighed.sort((a, b) => b.weight - a.weight).map(({ file }) => file)
  }

  cacheResults(): void {}

  allFailedTests<T extends TestFile>(files: readonly T[]): readonly T[] {
    return files
  }
}
