import { expect, test } from '@jest/globals'
import { KnownTexts } from '../../../schemas/known-texts.ts'
import fc from '../../support/fast-check.ts'

test('a text is what its bytes say, however often and between whatever others it comes', () => {
  const texts = new KnownTexts()
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 80 }), { maxLength: 30 }), (all) => {
      const bytes = Buffer.from(all.join(''))
      for (const _again of [1, 2]) {
        let at = 0
        for (const text of all) {
          const size = Buffer.byteLength(text)
          expect(texts.textOf(bytes, at, at + size)).toBe(text)
          at += size
        }
      }
    }),
  )
})

test('a text does not change with the memory that it was first read from', () => {
  const texts = new KnownTexts()
  const memory = Buffer.from('a/b')
  expect(texts.textOf(memory, 0, 3)).toBe('a/b')
  memory.write('x/y')
  expect(texts.textOf(memory, 0, 3)).toBe('x/y')
  expect(texts.textOf(Buffer.from('a/b'), 0, 3)).toBe('a/b')
})

test('bytes that are no UTF-8 give what decoding gives', () => {
  const bytes = Buffer.from([0x61, 0xff, 0x62])
  const texts = new KnownTexts()
  for (const _again of [1, 2]) expect(texts.textOf(bytes, 0, 3)).toBe(bytes.toString())
})
