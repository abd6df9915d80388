/** A real Prometheus that asks the processes of a stack, with the compose file's configuration but for who is asked and how often. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { findFreePorts } from '../../stack/ports.ts'
import { until } from '../support/stack.ts'
import { type Ended, onPath, Program, run } from './programs.ts'

const watching = join(import.meta.dirname, '../../watching')

/** Why there is none here; undefined when there is. */
export const missingPrometheus = ['prometheus', 'promtool'].every((program) => onPath(program) !== undefined)
  ? undefined
  : 'prometheus and promtool are not installed'

export const promtool = (args: readonly string[], input = ''): Promise<Ended> => run(onPath('promtool') ?? 'promtool', args, { input })

interface Configuration {
  readonly global: Readonly<Record<string, string>>
  readonly rule_files: readonly string[]
  readonly scrape_configs: readonly { readonly job_name: string; readonly static_configs: readonly { readonly targets: readonly string[] }[] }[]
}

/** watching/prometheus.yml where its rules are found; with targets by job, of those and asked every other second. */
export function configuration(targets?: Readonly<Record<string, readonly string[]>>): string {
  const whole = parse(readFileSync(join(watching, 'prometheus.yml'), 'utf8')) as Configuration
  const rules = { ...whole, rule_files: [join(watching, 'alerts.yml')] }
  if (!targets) return stringify(rules)
  return stringify({
    ...rules,
    global: { scrape_interval: '2s', scrape_timeout: '2s', evaluation_interval: '2s' },
    scrape_configs: whole.scrape_configs.map(({ job_name }) => ({ job_name, static_configs: [{ targets: targets[job_name] ?? [] }] })),
  })
}

/** Jobs of watching/prometheus.yml. */
export const jobs = (): readonly string[] =>
  (parse(readFileSync(join(watching, 'prometheus.yml'), 'utf8')) as Configuration).scrape_configs.map(({ job_name }) => job_name)

export interface Target {
  readonly health: string
  readonly lastError: string
  readonly labels: Readonly<Record<string, string>>
}

export interface Prometheus {
  targets(): Promise<readonly Target[]>
  /** The series that an expression makes now; throws with Prometheus' own words. */
  query(expression: string): Promise<readonly { readonly metric: Readonly<Record<string, string>> }[]>
  stop(): Promise<void>
}

/** On loopback, with its data in a folder that `stop` removes. */
export async function startPrometheus(targets: Readonly<Record<string, readonly string[]>>): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'loggerhead-prometheus-'))
  const file = join(folder, 'prometheus.yml')
  writeFileSync(file, configuration(targets))
  const [port = 0] = await findFreePorts(1)
  const options = [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`]
  const program = new Program(onPath('prometheus') ?? 'prometheus', options, { deadlineMs: 600_000 })
  const ask = async (path: string): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    const { status, data, error } = (await answer.json()) as { readonly status: string; readonly data: unknown; readonly error?: string }
    if (status !== 'success') throw new Error(`Prometheus: ${error}`)
    return data
  }
  await program.printed('Server is ready to receive web requests')
  await until('Prometheus answers', 60_000, async () => (await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => null))?.ok)
  return {
    targets: async () => ((await ask('targets')) as { readonly activeTargets: readonly Target[] }).activeTargets,
    query: async (expression) =>
      ((await ask(`query?${new URLSearchParams({ query: expression })}`)) as { readonly result: readonly { readonly metric: Record<string, string> }[] })
        .result,
    async stop() {
      program.kill()
      await program.ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
