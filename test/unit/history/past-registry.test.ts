import { expect, test } from '@jest/globals'
import { momentOf } from '../../../history/moment.ts'
import { registryAt } from '../../../history/past-registry.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { planTopics, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { historyKept, keptSince } from '../../../model/history-kept.ts'
import { Registry } from '../../../registry/registry.ts'
import { readSettings } from '../../../settings/setting.ts'

const hour = 3_600_000
const plan = planTopics(readSettings(topicSettings, { HISTORY_WINDOW: '2h', KAFKA_PARTITIONS: '1' }), 'default', 'development')
const { names } = plan

async function world() {
  const log = new MemoryLog()
  await log.createTopics(topicSpecs(plan))
  const clock = { at: 10 * hour, now: () => clock.at }
  const start = (historyWindowMs: number): Promise<Registry> =>
    Registry.start({
      log,
      topics: names,
      namespace: 'default',
      historyWindowMs,
      clock,
      writeTimeoutMs: 5_000,
      requestsMax: 10,
      onLimit: () => {},
      onFailed: () => {},
    })
  const at = async (time: number) => registryAt(log, names, await momentOf(log, names, { kind: 'time', at: time }), { now: clock.at })
  return { log, clock, start, at }
}

const group = (registry: Registry, name: string, query: string | null): Promise<unknown> =>
  registry.change({
    kind: 'clientGroups',
    name,
    author: { by: 'test' },
    decide: (_, at) => (query === null ? null : { properties: JSON.stringify({ query, description: '' }), etag: `${at}`, createdAt: at, updatedAt: at }),
  })

const groupsOf = (view: { readonly clientGroups: ReadonlyMap<string, { readonly properties: { readonly query: string } }> }) =>
  Object.fromEntries([...view.clientGroups].map(([name, { properties }]) => [name, properties.query]))

test('the registry of a moment is what its changes before it made, whatever came later', async () => {
  const { start, clock, at } = await world()
  const registry = await start(2 * hour)
  const moments: [number, object][] = []
  for (const [name, query] of [
    ['a', 'attributes.x = 1'],
    ['b', 'attributes.x = 2'],
    ['a', 'attributes.x = 3'],
    ['b', null],
    ['b', 'attributes.x = 4'],
  ] as const) {
    clock.at += 1000
    await group(registry, name, query)
    moments.push([clock.at + 1, groupsOf(registry.view)])
  }
  for (const [time, groups] of moments) expect(groupsOf((await at(time)).view)).toEqual(groups)
  expect(groupsOf((await at(clock.at + hour)).view)).toEqual({ a: 'attributes.x = 3', b: 'attributes.x = 4' })
  expect((await at(clock.at + hour)).view.position).toBe(registry.view.position)
  await registry.close()
})

test('a moment before the registry began, or before the window, is refused with the time from which there is history', async () => {
  const { start, clock, at } = await world()
  const began = clock.at
  const registry = await start(2 * hour)
  clock.at += 1000
  await group(registry, 'a', 'attributes.x = 1')
  await expect(at(began - 1)).rejects.toMatchObject({ name: 'BeforeHistory', since: began })
  clock.at += 3 * hour
  await group(registry, 'a', 'attributes.x = 2')
  await expect(at(began + 1001)).rejects.toMatchObject({ since: clock.at - 2 * hour })
  expect(groupsOf((await at(clock.at - hour)).view)).toEqual({ a: 'attributes.x = 1' })
  await registry.close()
})

test('a topic that was there before its changes were kept has history from then on; a longer window does not bring back what a shorter one let go', async () => {
  const { log, start, clock, at } = await world()
  const unaware = await Registry.start({
    log,
    topics: names,
    namespace: 'default',
    clock,
    writeTimeoutMs: 5_000,
    requestsMax: 10,
    onLimit: () => {},
    onFailed: () => {},
  })
  await group(unaware, 'a', 'attributes.x = 1')
  await unaware.close()
  const before = clock.at
  await expect(at(before)).rejects.toMatchObject({ since: null })
  clock.at += hour
  const registry = await start(2 * hour)
  await expect(at(before)).rejects.toMatchObject({ since: clock.at })
  await registry.close()
  const known = { since: 0, windowMs: 2 * hour }
  expect(historyKept(known, 2 * hour, 20 * hour, false)).toBeUndefined()
  expect(historyKept(known, 9 * hour, 20 * hour, false)).toEqual({ since: 18 * hour, windowMs: 9 * hour })
  expect(keptSince({ since: 18 * hour, windowMs: 9 * hour }, 21 * hour)).toBe(18 * hour)
  expect(keptSince({ since: 0, windowMs: Number.POSITIVE_INFINITY }, 21 * hour)).toBe(0)
})
