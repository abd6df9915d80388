import { expect, test } from '@jest/globals'
import { NamespaceInstances } from '../../../model/namespace-instances.ts'
import type { Namespace } from '../../../model/namespaces.ts'

const quiet = { info: () => {}, error: () => {} }
const namespace = (name: string, life = 1): Namespace => ({ name, life, partitions: 1 })

/** Instances that do as they are told, and what happened to them in order. */
class World {
  readonly events: string[] = []
  readonly failing = new Set<string>()
  readonly fail = new Map<string, (error: unknown) => void>()
  readonly instances = new NamespaceInstances<string>({
    start: async ({ name, life }, fail) => {
      const id = `${name} ${life}`
      this.#tell(`start ${id}`)
      if (this.failing.has(name)) throw new Error('it cannot')
      if (name === 'hangs') await new Promise(() => {})
      this.fail.set(name, fail)
      return id
    },
    stop: async (id, isGone) => this.#tell(`stop ${id}${isGone ? ' gone' : ''}`),
    logger: quiet,
    onStuck: (error) => this.#tell(error.message),
    retryMs: [1, 4],
  })

  #tell(event: string): void {
    this.events.push(event)
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
  }
}

test('namespaces are started as they appear and stopped as they go; a new life of a name is another instance', async () => {
  const world = new World()
  const { instances } = world
  instances.set([namespace('factory'), namespace('plant')])
  await instances.settled(1000)
  expect([instances.get('factory'), instances.get('plant'), instances.get('other')]).toEqual(['factory 1', 'plant 1', undefined])
  instances.set([namespace('factory', 2), namespace('plant')])
  await world.until(() => world.events.includes('start factory 2') && world.events.includes('stop factory 1 gone'))
  expect([instances.get('factory'), instances.ofLife('factory'), instances.ofLife('factory.2')]).toEqual(['factory 2', undefined, 'factory 2'])
  await instances.close()
  expect(world.events.slice(-2).sort()).toEqual(['stop factory 2', 'stop plant 1'])
})

test('one that cannot start is tried again and keeps no other waiting; one that fails later is begun anew', async () => {
  const world = new World()
  const { instances } = world
  world.failing.add('broken')
  instances.set([namespace('hangs'), namespace('broken'), namespace('plant')])
  await world.until(() => world.events.filter((event) => event === 'start broken 1').length >= 3 && instances.get('plant') !== undefined)
  expect(instances.all().map(({ namespace: { name }, trouble }) => [name, trouble])).toEqual([
    ['hangs', 'it is starting'],
    ['broken', 'it cannot'],
    ['plant', null],
  ])
  world.failing.clear()
  await world.until(() => instances.get('broken') !== undefined)
  world.fail.get('plant')?.(new Error('its registry is gone'))
  await world.until(() => world.events.filter((event) => event === 'start plant 1').length === 2)
  expect(world.events.indexOf('stop plant 1')).toBeGreaterThan(world.events.indexOf('start plant 1'))
})
