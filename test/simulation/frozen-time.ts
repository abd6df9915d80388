/** Tests of a file in which time stands still. */
import { afterEach, beforeEach, jest } from '@jest/globals'
import { freezeTime, type World } from './world.ts'

/** Before each test time stands still; after it the test's world ends, and time goes on. */
export function inFrozenTime(worldOf: () => World): void {
  beforeEach(() => freezeTime())
  afterEach(() => {
    worldOf().end()
    jest.useRealTimers()
  })
}
