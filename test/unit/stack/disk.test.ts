import { expect, test } from '@jest/globals'
import { DiskWatch, freeBytes } from '../../../stack/disk.ts'

test('a disk that becomes full is named once, and once more when there is room again', () => {
  const said: string[] = []
  let free = 1e9
  const watch = new DiskWatch(
    '/data',
    (line) => said.push(line),
    () => free,
  )
  watch.look()
  free = 3 * 1024 * 1024
  watch.look()
  watch.look()
  free = 1e9
  watch.look()
  expect(said).toEqual(['the disk that holds /data is full (3 MB left): Kafka cannot append until there is room', 'the disk that holds /data has room again'])
})

test('free bytes are what the system says', () => {
  expect(freeBytes('/')).toBeGreaterThan(0)
})
