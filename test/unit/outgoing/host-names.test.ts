import type { LookupAddress } from 'node:dns'
import { expect, test } from '@jest/globals'
import { HostNames } from '../../../outgoing/host-names.ts'

const address: readonly LookupAddress[] = [{ address: '192.0.2.1', family: 4 }]

function given() {
  const asked = new Map<string, { answer(): void; fail(error: Error): void }>()
  const world = { now: 0, asked, turns: [] as string[], alarms: new Set<() => void>() }
  const names = new HostNames({
    now: () => world.now,
    after(_, work) {
      world.alarms.add(work)
      return () => world.alarms.delete(work)
    },
    ask(host) {
      world.turns.push(host)
      return new Promise((resolve, reject) => asked.set(host, { answer: () => resolve(address), fail: reject }))
    },
  })
  return { world, names }
}
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** The hosts' lookups fail after a time, ms. */
async function failed(world: ReturnType<typeof given>['world'], names: HostNames, hosts: readonly string[], ms: number): Promise<void> {
  const all = hosts.map((host) => names.addressesOf(host))
  await settled()
  world.now += ms
  for (const host of hosts) world.asked.get(host)?.fail(new Error('EAI_AGAIN'))
  await Promise.allSettled(all)
  world.turns.length = 0
}

test('a host is looked up once at a time, however many ask', async () => {
  const { world, names } = given()
  const both = [names.addressesOf('a'), names.addressesOf('a')]
  await settled()
  expect(world.turns).toEqual(['a'])
  world.asked.get('a')?.answer()
  expect(await Promise.all(both)).toEqual([address, address])
  void names.addressesOf('a')
  await settled()
  expect(world.turns).toEqual(['a', 'a'])
})

test('two lookups are under way; further ones have their turn when one is over', async () => {
  const { world, names } = given()
  for (const host of ['a', 'b', 'c', 'd']) void names.addressesOf(host)
  await settled()
  expect(world.turns).toEqual(['a', 'b'])
  world.asked.get('b')?.answer()
  await settled()
  expect(world.turns).toEqual(['a', 'b', 'c'])
})

test('a host without an address is not asked again for five seconds', async () => {
  const { world, names } = given()
  await failed(world, names, ['a'], 10)
  await expect(names.addressesOf('a')).rejects.toThrow('EAI_AGAIN')
  expect(world.turns).toEqual([])
  world.now += 5_000
  void names.addressesOf('a')
  await settled()
  expect(world.turns).toEqual(['a'])
})

test('hosts whose name server was silent keep no others waiting: one of them is looked up at a time', async () => {
  const { world, names } = given()
  await failed(world, names, ['silent', 'silent too'], 20_000)
  world.now += 5_000
  for (const host of ['silent', 'silent too', 'a', 'b']) names.addressesOf(host).catch(() => {})
  await settled()
  expect(world.turns).toEqual(['silent', 'a', 'b'])
  world.asked.get('a')?.answer()
  world.asked.get('b')?.answer()
  await settled()
  expect(world.turns).toEqual(['silent', 'a', 'b'])
  world.asked.get('silent')?.answer()
  await settled()
  expect(world.turns).toEqual(['silent', 'a', 'b', 'silent too'])
})

test('hosts that are new and whose name server is silent keep others waiting for a second, and one thread is left for what else needs one', async () => {
  const { world, names } = given()
  for (const host of ['silent', 'silent too', 'a', 'b']) names.addressesOf(host).catch(() => {})
  await settled()
  expect(world.turns).toEqual(['silent', 'silent too'])
  world.now += 1_000
  for (const alarm of world.alarms) alarm()
  await settled()
  expect(world.turns).toEqual(['silent', 'silent too', 'a'])
  world.asked.get('a')?.answer()
  await settled()
  expect(world.turns).toEqual(['silent', 'silent too', 'a', 'b'])
  for (const host of ['silent', 'silent too', 'b']) world.asked.get(host)?.answer()
  await settled()
  for (const host of ['c', 'd', 'e']) void names.addressesOf(host)
  await settled()
  expect(world.turns.slice(4)).toEqual(['c', 'd'])
})
