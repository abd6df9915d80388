import { expect, test } from '@jest/globals'
import { listed } from '../../../settings/setting.ts'

test.each([
  ['', []],
  [' , ,', []],
  ['one', ['one']],
  [' one, two words ,,three=3,', ['one', 'two words', 'three=3']],
])('a setting that lists texts: “%s”', (text, texts) => {
  expect(listed(text)).toEqual(texts)
})
