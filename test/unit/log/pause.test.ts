import { expect, test } from '@jest/globals'
import { PauseWatch } from '../../../log/pause.ts'

test('a busy event loop is no pause, a longer gap is one, and it is told once', () => {
  const watch = new PauseWatch(2_000, 100)
  expect([200, 2_200, 4_201, 4_201, 4_300].map((now) => watch.look(now))).toEqual([0, 0, 2_001, 0, 0])
})
