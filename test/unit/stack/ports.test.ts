import { expect, test } from '@jest/globals'
import { findFreePorts } from '../../../stack/ports.ts'

test('who looks for ports at the same time never finds those of another, though nothing listens there yet', async () => {
  const found = await Promise.all(Array.from({ length: 10 }, () => findFreePorts(12, [], [10, 20])))
  const all = found.flat().flatMap((port) => [port, port + 10, port + 20])
  expect(new Set(all).size).toBe(all.length)
})

test('ports that are promised are not found, neither themselves nor beside another', async () => {
  const promised = Array.from({ length: 9_000 }, (_, i) => 20_000 + i)
  for (const port of await findFreePorts(5, promised, [10])) expect(promised.filter((each) => each === port || each === port + 10)).toEqual([])
})
