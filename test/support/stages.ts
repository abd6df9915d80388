import { readdirSync } from 'node:fs'

/** Suites that run together. */
export interface Stage {
  readonly name: string
  /** Folders of test/. */
  readonly folders: readonly string[]
  readonly kafka: boolean
  /** Files that run at a time. */
  readonly workers: number
}

const known: readonly Stage[] = [
  { name: 'quick tests', folders: ['unit', 'wire', 'simulation'], kafka: false, workers: 2 },
  // Whole stacks, which wait for the starts, deaths and time limits of one another far more than they work.
  { name: 'on a real Kafka', folders: ['contract', 'integration', 'conformance', 'clients', 'hostile'], kafka: true, workers: 2 },
  { name: 'processes killed under load', folders: ['kill'], kafka: true, workers: 1 },
]

/** The stages in order; a folder of tests that nobody put into one runs last, so that none is ever left out. */
export function stages(testFolder: string, list: (folder: string) => readonly string[] = foldersOf): readonly Stage[] {
  const placed = new Set(known.flatMap(({ folders }) => folders))
  const others = list(testFolder).filter((folder) => !placed.has(folder) && folder !== 'support')
  return others.length === 0 ? known : [...known, { name: 'others', folders: others, kafka: true, workers: 1 }]
}

function foldersOf(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}
