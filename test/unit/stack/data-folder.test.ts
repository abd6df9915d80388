import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { clear, DataFolder, FolderInUse } from '../../../stack/data-folder.ts'
import { keyFile } from '../../../stack/key-file.ts'
import { identify } from '../../../stack/process-identity.ts'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'loggerhead-folder-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

const holder = (identity: object, children: readonly object[] = []) =>
  writeFileSync(join(path, 'supervisor.json'), JSON.stringify({ since: '2026-01-01T00:00:00.000Z', ...identity, children }))

test('a folder has one holder, who is named to the second', () => {
  const folder = new DataFolder(path)
  expect(() => new DataFolder(path)).toThrow(FolderInUse)
  expect(() => new DataFolder(path)).toThrow(`process ${process.pid}`)
  expect(() => clear(path)).toThrow(FolderInUse)
  folder.release()
  new DataFolder(path).release()
})

test('a holder that is gone holds nothing', () => {
  holder({ pid: 2 ** 22 + 1, started: 'long ago' })
  expect(new DataFolder(path).leftovers).toEqual([])
})

test('a holder whose id another program has got since holds nothing', () => {
  holder({ pid: process.pid, started: 'before' })
  expect(new DataFolder(path).leftovers).toEqual([])
})

test('of the processes a lost holder left, only those that are still themselves are its leftovers', () => {
  const child = spawn('sleep', ['30'])
  const identity = identify(child.pid ?? -1)
  holder({ pid: 2 ** 22 + 1, started: 'long ago' }, [
    { name: 'kafka', ...identity },
    { name: 'router', pid: process.pid, started: 'before' },
  ])
  expect(new DataFolder(path).leftovers).toEqual([{ name: 'kafka', ...identity }])
  child.kill('SIGKILL')
})

test('a broken lock file is no lock', () => {
  writeFileSync(join(path, 'supervisor.json'), '{')
  new DataFolder(path).release()
})

test('keys are random, kept, and readable by their owner alone', () => {
  const key = readFileSync(keyFile(join(path, 'api-key')), 'utf8')
  expect(key).toMatch(/^[\w-]{32}\n$/)
  expect(readFileSync(keyFile(join(path, 'api-key')), 'utf8')).toBe(key)
  expect(readFileSync(keyFile(join(path, 'deeper/internal-key')), 'utf8')).not.toBe(key)
  expect(statSync(join(path, 'api-key')).mode & 0o777).toBe(0o600)
})

test('clearing removes everything', () => {
  const folder = new DataFolder(path)
  folder.writeProcesses({ router: { pid: process.pid, ready: true, ports: { internal: 1 } } })
  folder.release()
  expect(clear(path)).toBe(true)
  expect(existsSync(path)).toBe(false)
  expect(clear(path)).toBe(false)
})
