import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { refusalReasons } from '../../../gateway/refusal-reason.ts'

const folder = join(import.meta.dirname, '../../../gateway')
const sources = readdirSync(folder)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(join(folder, file), 'utf8'))
  .join('\n')

test('each reason for a refusal is given in exactly one place of the gateway', () => {
  const places = Object.keys(refusalReasons).map((reason) => [reason, [...sources.matchAll(new RegExp(`RefusalReason\\.${reason}\\b`, 'g'))].length])
  expect(places.filter(([, count]) => count !== 1)).toEqual([])
})

test('nobody refuses for a reason that is not on the list', () => {
  const given = [...sources.matchAll(/RefusalReason\.([a-z]\w*)/g)].map(([, reason]) => reason as string)
  expect(given.filter((reason) => !(reason in refusalReasons) && reason !== 'name')).toEqual([])
})
