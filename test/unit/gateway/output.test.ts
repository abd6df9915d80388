import { expect, test } from '@jest/globals'
import { Output } from '../../../gateway/output.ts'
import fc from '../../support/fast-check.ts'

/** A packet whose bytes tell which it is. */
function put(output: Output, size: number, mark: number): Buffer {
  const { buffer, offset } = output.piece(size)
  buffer.fill(mark, offset, offset + size)
  return Buffer.alloc(size, mark)
}

const bytesOf = (output: Output): Buffer => Buffer.concat(output.take())

test('every connection is sent its own packets in their order, whoever else is sent some in between', () => {
  const step = fc.record({
    connection: fc.nat(2),
    size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1900, max: 5000 })),
    way: fc.constantFrom('piece', 'piece', 'piece', 'reference', 'take'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const outputs = [new Output(), new Output(), new Output()]
      const expected: Buffer[][] = [[], [], []]
      const taken: Buffer[][] = [[], [], []]
      for (const [i, { connection, size, way }] of steps.entries()) {
        const output = outputs[connection] as Output
        if (way === 'take') taken[connection]?.push(...output.take())
        else if (way === 'piece') expected[connection]?.push(put(output, size, i % 256))
        else {
          const packet = Buffer.alloc(size, i % 256)
          output.push(packet)
          expected[connection]?.push(packet)
        }
      }
      // What was taken early is looked at last: nothing that came later may have been written over it.
      for (const [connection, output] of outputs.entries()) {
        taken[connection]?.push(...output.take())
        expect(Buffer.concat(taken[connection] as Buffer[]).equals(Buffer.concat(expected[connection] as Buffer[]))).toBe(true)
      }
    }),
  )
})

test('small packets of one turn are few buffers, also when those of other connections come between', () => {
  const outputs = Array.from({ length: 50 }, () => new Output())
  const turn = (): number => {
    for (let i = 0; i < 20; i++) for (const output of outputs) put(output, 290, i)
    return outputs.reduce((parts, output) => parts + output.take().length, 0)
  }
  turn()
  // The turn before tells how much is needed; the end of a slab may cut a connection's bytes in two.
  expect(turn()).toBeLessThanOrEqual(2 * outputs.length)
})

test('bytes and packets count what was not taken', () => {
  const output = new Output()
  output.fourBytes(0x40, 7)
  put(output, 3000, 1)
  output.push(Buffer.from('header'))
  output.append(Buffer.from('payload'))
  expect([output.bytes, output.packets]).toEqual([4 + 3000 + 6 + 7, 3])
  expect(bytesOf(output).subarray(0, 4)).toEqual(Buffer.from([0x40, 2, 0, 7]))
  expect([output.bytes, output.packets, output.take().length]).toEqual([0, 0, 0])
})
