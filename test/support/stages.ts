import { readdirSync } from 'node:fs'

/** Suites that run together. */
export interface Stage {
  readonly name: string
  /** Folders of test/. */
  readonly folders: readonly string[]
  readonly kafka: boolean
  /** Whole stacks share two cores: one file at a time. */
  readonly workers: number
}

const known: readonly Stage[] = [
  { name: 'quick tests', folders: ['unit', 'wire'], kafka: false, workers: 2 },
  { name: 'on a real Kafka', folders: ['contract', 'integration'], kafka: true, workers: 1 },
  { name: 'the specification, clause by clause', folders: ['conformance'], kafka: true, workers: 1 },
  { name: 'clients that others wrote', folders: ['clients'], kafka: true, workers: 1 },
  { name: 'bad input', folders: ['hostile'], kafka: true, workers: 1 },
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
