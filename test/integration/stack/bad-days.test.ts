/** A first start without network, and a disk that becomes full. */
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { fetchArtifacts } from '../../../stack/kafka/artifacts.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'

const project = join(import.meta.dirname, '../../..')
const work = mkdtempSync(join(tmpdir(), 'loggerhead-bad-days-'))

test('without a network a first start says that the npm packages could not be fetched', () => {
  const clone = join(work, 'clone')
  mkdirSync(join(clone, 'stack'), { recursive: true })
  for (const file of ['package.json', 'package-lock.json', '.npmrc', 'stack/setup.mjs']) cpSync(join(project, file), join(clone, file))
  const { npm_execpath: _unused, ...environment } = process.env
  const nowhere = { npm_config_registry: 'http://127.0.0.1:9/', npm_config_fetch_retries: '0', npm_config_cache: join(work, 'cache') }
  const { status, stderr } = spawnSync(process.execPath, ['stack/setup.mjs'], { cwd: clone, encoding: 'utf8', env: { ...environment, ...nowhere } })
  expect(status).toBe(1)
  expect(stderr).toContain('The npm packages of package-lock.json could not be fetched.')
  expect(stderr).toContain('The npm registry cannot be reached (ECONNREFUSED): is there a network?')
})

test('and that Kafka could not, with Maven’s reason, leaving nothing half fetched', async () => {
  const maven = join(work, 'mvn')
  writeFileSync(maven, '#!/bin/sh\necho "[INFO] Downloaded from central: a"\necho "[ERROR] Could not resolve: Unknown host -> [Help 1]"\nexit 1\n', {
    mode: 0o755,
  })
  const fetched = fetchArtifacts({ project: work, say: () => {}, maven })
  await expect(fetched).rejects.toThrow(/^Kafka 4\.\d+\.\d+ could not be fetched from Maven Central \(Could not resolve: Unknown host\)$/)
})

test('what Maven brings is there whole, and is not fetched again', async () => {
  const maven = join(work, 'mvn')
  writeFileSync(maven, '#!/bin/sh\nmkdir lib && touch lib/kafka.jar\n', { mode: 0o755 })
  const first = await fetchArtifacts({ project: work, say: () => {}, maven })
  expect(await fetchArtifacts({ project: work, say: () => {}, maven: '/nowhere/mvn' })).toBe(first)
})

/** A small disk, where this machine lets one be made. */
function mountSmallDisk(path: string): string | undefined {
  try {
    mkdirSync(path)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=220m', 'tmpfs', path], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'no small disk can be mounted here'
  }
}

const disk = join(work, 'disk')
const missing = mountSmallDisk(disk)
let stack: Stack | undefined
beforeAll(async () => {
  if (missing === undefined) stack = await startStack({ kafka: 'own', environment: { LOGGERHEAD_DATA: join(disk, 'data') } })
}, 180_000)
afterAll(async () => {
  await stack?.stop()
  if (missing === undefined) execFileSync('umount', [disk])
  rmSync(work, { recursive: true, force: true })
})

const testWithDisk = missing === undefined ? test : test.skip
testWithDisk(
  `a full disk is named, everything stays up around it, and goes on when there is room${missing ? ` [skipped: ${missing}]` : ''}`,
  async () => {
    const running = stack as Stack
    const before = await running.processes()
    const fill = join(disk, 'fill')
    spawnSync('dd', ['if=/dev/zero', `of=${fill}`, 'bs=1M'], { stdio: 'ignore' })
    await until('the disk is named', 60_000, () => /the disk that holds \S+ is full/.test(running.output()))
    await until('/healthz says 503', 60_000, async () => (await running.health()).status === 503)
    rmSync(fill)
    await running.untilHealthy(60_000)
    const after = await running.processes()
    expect(after.router?.pid).toBe(before.router?.pid)
    expect(after.gateway?.pid).toBe(before.gateway?.pid)
  },
  150_000,
)
