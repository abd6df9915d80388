/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
import { expect, test } from '@jest/globals'
import { expansionsMax, parseTemplate, substitute, TemplateError } from '../../../access/template.ts'
import type { Attributes } from '../../../model/registry-resources.ts'
import fc from '../../support/fast-check.ts'

const filters = (template: string, attributes: Attributes = {}, authenticationName = 'Truck-1') =>
  substitute(parseTemplate(template), { authenticationName, attributes }).map((levels) => levels.join('/'))

test.each<[string, Attributes, readonly string[]]>([
  ['machines/#', {}, ['machines/#']],
  ['+/b/#', {}, ['+/b/#']],
  ['machines/${client.authenticationName}/telemetry', {}, ['machines/Truck-1/telemetry']],
  ['${client.attributes.site}/+', { site: 'Oslo' }, ['Oslo/+']],
  ['floor/${client.attributes.floor}', { floor: -3 }, ['floor/-3']],
  ['x/$y', {}, ['x/$y']],
])('TS-03 variables become the client’s values, in their stored case: %s of %j', (template, attributes, expected) => {
  expect(filters(template, attributes)).toEqual(expected)
})

test('TS-04 a suffix is appended, so that a variable may be part of a level', () => {
  expect(filters('a/${client.authenticationName|.factory1}/b')).toEqual(['a/Truck-1.factory1/b'])
  expect(filters('a/dev-${client.authenticationName}')).toEqual(['a/dev-Truck-1'])
})

test('TS-06 a missing attribute matches nothing', () => {
  expect(filters('a/${client.attributes.site}')).toEqual([])
  expect(filters('a/${client.attributes.constructor}')).toEqual([])
})

test('TS-07 a list stands for any of its values, the same one in all of a template', () => {
  expect(filters('a/${client.attributes.lines}/${client.attributes.lines}', { lines: ['l1', 'l2', 'l1'] })).toEqual(['a/l1/l1', 'a/l2/l2'])
  expect(filters('${client.attributes.a}/${client.attributes.b}', { a: ['1', '2'], b: ['x'] })).toEqual(['1/x', '2/x'])
  expect(filters('a/${client.attributes.lines}', { lines: [] })).toEqual([])
})

test('TS-07 a template that becomes too many filters matches nothing', () => {
  const many = Array.from({ length: 100 }, (_, i) => `v${i}`)
  expect(filters('${client.attributes.a}/${client.attributes.b}', { a: many, b: many })).toEqual([])
  expect(filters('${client.attributes.a}/x', { a: many })).toHaveLength(100)
  expect(100 * 100).toBeGreaterThan(expansionsMax)
})

test.each(['', 'a/b', '/', '+', '#', 'x#', 'x+y', 'a\0b'])('TS-04 the value %j would widen the template and matches nothing', (value) => {
  expect(filters('a/${client.attributes.site}/b', { site: value })).toEqual([])
  expect(filters('a/${client.authenticationName}/b', {}, value)).toEqual([])
  expect(filters('a/${client.attributes.site}/b', { site: ['ok', value] })).toEqual(['a/ok/b'])
})

test('TS-04 no value of a variable changes the number of levels or brings in a wildcard', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.array(fc.constantFrom('a', '/', '+', '#', '\0', '$')).map((c) => c.join('')),
      (name, site) => {
        const template = parseTemplate('a/${client.authenticationName}/${client.attributes.site|-x}/+')
        for (const levels of substitute(template, { authenticationName: name, attributes: { site } })) {
          expect(levels).toEqual(['a', name, `${site}-x`, '+'])
          expect(levels.join('/').split('/')).toHaveLength(4)
          expect(levels.slice(0, 3).join('')).not.toMatch(/[+#/]/)
        }
      },
    ),
    { numRuns: 500 },
  )
})

test.each<[string, number, string]>([
  ['', 0, 'at least one character'],
  ['a/b+', 3, '“+” must be a whole level'],
  ['a/#/b', 2, '“#” must be the last level'],
  ['a/b#', 3, '“#” must be a whole level'],
  ['$share/#', 0, 'reserved'],
  ['$share', 0, 'reserved'],
  ['$loggerhead/canary/+', 0, 'reserved'],
  ['a/${client.authenticationName', 2, 'not closed'],
  ['a/${client.name}', 2, 'is no variable'],
  ['a/${principal.name}', 2, 'is no variable'],
  ['a/${client.attributes.}', 2, 'is no variable'],
  ['a/${client.attributes.a-b}', 2, 'is no variable'],
  ['a/${client.authenticationName|}', 30, 'is empty'],
  ['a/${client.authenticationName|x/y}', 31, '“/” must not stand in a suffix'],
  ['a/${client.authenticationName|+}', 30, '“+” must not stand in a suffix'],
  ['a/${client.authenticationName}+', 30, 'whole level'],
  ['a/\0', 2, 'NUL'],
  ['a/\ud800', 0, 'well-formed'],
])('TS-02, TS-03, TS-09 a wrong template is refused where it is wrong: %j', (template, position, message) => {
  let error: unknown
  try {
    parseTemplate(template)
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(TemplateError)
  expect((error as TemplateError).message).toContain(message)
  expect((error as TemplateError).position).toBe(position)
})

test('TS-08 levels and bytes are bounded', () => {
  expect(() => parseTemplate('a/'.repeat(128))).toThrow('at most 128 levels')
  expect(parseTemplate(`${'a/'.repeat(127)}a`).levels).toHaveLength(128)
  expect(() => parseTemplate('ü'.repeat(513))).toThrow('at most 1024 bytes')
})

test('TS-03 whatever is given, the answer is a template or a TemplateError', () => {
  const piece = fc.constantFrom('${', '}', 'client.', 'authenticationName', 'attributes.x', '|', '/', '+', '#', '$', 'a')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
      ),
      (text) => {
        try {
          substitute(parseTemplate(text), { authenticationName: 'x', attributes: {} })
        } catch (error) {
          expect(error).toBeInstanceOf(TemplateError)
        }
      },
    ),
    { numRuns: 2000 },
  )
})
