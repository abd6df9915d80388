import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
// @ts-expect-error plain JavaScript: it runs before there is TypeScript
import * as setup from '../../../stack/setup.mjs'

test.each([
  ['v20.20.2', false],
  ['v22.17.1', false],
  ['v22.18.0', true],
  ['v23.5.0', false],
  ['v23.6.0', true],
  ['v24.0.0', true],
])('Node %s runs TypeScript: %s', (version, runs) => {
  expect(setup.runsTypeScript(version)).toBe(runs)
})

const wanted = {
  packages: {
    '': { name: 'loggerhead' },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/mac': { version: '1.0.0', integrity: 'sha512-m', optional: true },
  },
}

test('packages are installed when all that are not for other platforms are there, in these versions and no others', () => {
  const a = { version: '1.0.0', integrity: 'sha512-a' }
  expect(setup.isInstalled(wanted, { packages: { 'node_modules/a': a } })).toBe(true)
  expect(setup.isInstalled(wanted, { packages: {} })).toBe(false)
  expect(setup.isInstalled(wanted, { packages: { 'node_modules/a': { ...a, version: '1.0.1' } } })).toBe(false)
  expect(setup.isInstalled(wanted, { packages: { 'node_modules/a': { ...a, integrity: 'sha512-b' } } })).toBe(false)
  expect(setup.isInstalled(wanted, { packages: { 'node_modules/a': a, 'node_modules/b': a } })).toBe(false)
})

test('what npm says without a network is said in one sentence first', () => {
  const output = 'npm error code ENOTFOUND\nnpm error network request to https://registry/x failed\nnpm error A complete log of this run can be found in: x\n'
  expect(setup.whyNpmFailed(output)).toBe(
    '  The npm registry cannot be reached (ENOTFOUND): is there a network?\n  code ENOTFOUND\n  network request to https://registry/x failed',
  )
})

test('the lock file holds every package that another platform needs, and a Node for each', () => {
  interface Entry {
    readonly optionalDependencies?: Readonly<Record<string, string>>
    readonly optional?: boolean
  }
  const lock = JSON.parse(readFileSync(join(import.meta.dirname, '../../../package-lock.json'), 'utf8')) as { packages: Record<string, Entry> }
  const paths = Object.keys(lock.packages)
  const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !paths.some((other) => other.endsWith(`node_modules/${name}`)))
      .map((name) => `${path}: ${name}`),
  )
  expect(missing).toEqual([]) // npm ci refuses such a lock file, and npm install leaves the packages out
  for (const name of Object.values(setup.nodePackages as Record<string, string>)) expect(lock.packages[`node_modules/${name}`]?.optional).toBe(true)
})
