/**
 * schemas/versions.json lists each version that records were ever written with, by the fingerprint in their header, oldest first. A log
 * outlives any version of Loggerhead, so none may go: a schema that changes leaves its former text in schemas/earlier/.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { headerOf, type Schema } from '../schemas/fingerprint.ts'

/** By the name of the record. */
export type Versions = Readonly<Record<string, readonly string[]>>

export interface SchemaText {
  /** From the project's folder. */
  readonly path: string
  readonly name: string
  readonly fingerprint: string
}

export function schemaText(path: string, schema: Schema & { readonly name: string }): SchemaText {
  return { path, name: schema.name, fingerprint: headerOf(schema).toString('hex', 2) }
}

export function versionProblems(listed: Versions, current: readonly SchemaText[], earlier: readonly SchemaText[]): readonly string[] {
  const problems: string[] = []
  for (const { path, name, fingerprint } of current) {
    if (listed[name]?.at(-1) === fingerprint) continue
    problems.push(
      listed[name] === undefined
        ? `${path} is new: add "${name}": ["${fingerprint}"] to schemas/versions.json`
        : `${path} has changed: keep its former text in schemas/earlier/, and add "${fingerprint}" at the end of "${name}" in schemas/versions.json`,
    )
  }
  for (const { path, name, fingerprint } of earlier)
    if (!listed[name]?.includes(fingerprint)) problems.push(`${path} is not in schemas/versions.json: add "${fingerprint}" to "${name}", before the last`)
  const kept = new Set([...current, ...earlier].map(({ name, fingerprint }) => `${name} ${fingerprint}`))
  for (const [name, fingerprints] of Object.entries(listed))
    for (const fingerprint of fingerprints)
      if (!kept.has(`${name} ${fingerprint}`))
        problems.push(`version ${fingerprint} of ${name} has no schema any more: what a log holds of it could not be read; keep its text in schemas/earlier/`)
  return problems
}

/** What is wrong with the schemas of the project in this folder. */
export function schemaProblems(project: string): readonly string[] {
  const texts = (folder: string): readonly SchemaText[] =>
    readdirSync(join(project, folder))
      .filter((file) => file.endsWith('.avsc'))
      .map((file) => schemaText(`${folder}/${file}`, JSON.parse(readFileSync(join(project, folder, file), 'utf8'))))
  return versionProblems(JSON.parse(readFileSync(join(project, 'schemas/versions.json'), 'utf8')), texts('schemas'), texts('schemas/earlier'))
}
