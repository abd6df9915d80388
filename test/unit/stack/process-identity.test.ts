import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from '@jest/globals'
import { identify, isRunning } from '../../../stack/process-identity.ts'

test('a process is known by its id and the time it started', async () => {
  const child = spawn('sleep', ['30'])
  const identity = identify(child.pid ?? -1)
  expect(identity).toEqual({ pid: child.pid, started: expect.any(String) })
  expect(identity && isRunning(identity)).toBe(true)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(identity && isRunning(identity)).toBe(false)
})

test('another program that has got the id since is not taken for it', () => {
  const self = identify(process.pid)
  expect(self && isRunning({ ...self, started: 'before' })).toBe(false)
})
