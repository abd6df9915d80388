import { createRequire } from 'node:module'
import { expect, test } from '@jest/globals'
import { murmur2, partitionOf } from '../../../log/partitioner.ts'
import fc from '../../support/fast-check.ts'

const oracle = createRequire(import.meta.url)('kafkajs/src/producer/partitioners/default/murmur2') as (key: Buffer) => number

test('murmur2 is kafkajs’s, for any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (key) => {
      expect(murmur2(key)).toBe(oracle(Buffer.from(key)))
    }),
    { numRuns: 1000 },
  )
})

// From Kafka's own UtilsTest.
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('murmur2 of %s is what Kafka says', (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash)
})

test('text and its UTF-8 bytes go to the same partition, within the partitions there are', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 1024 }), (key, partitions) => {
      const partition = partitionOf(key, partitions)
      expect(partition).toBe(partitionOf(Buffer.from(key), partitions))
      expect(partition).toBe((oracle(Buffer.from(key)) & 0x7fffffff) % partitions)
    }),
  )
})
