import { expect, test } from '@jest/globals'
import { compileQuery, QueryError } from '../../../access/query.ts'
import type { Attributes } from '../../../model/registry-resources.ts'
import fc from '../../support/fast-check.ts'

const matches = (query: string, attributes: Attributes, authenticationName = 'Truck-1') => compileQuery(query)({ authenticationName, attributes })

test.each<[string, Attributes, boolean]>([
  ['attributes.type = "sensor"', { type: 'sensor' }, true],
  ["attributes.type = 'sensor'", { type: 'sensor' }, true],
  ['attributes.type = "sensor"', { type: 'Sensor' }, false],
  ['attributes.type <> "sensor"', { type: 'truck' }, true],
  ['attributes.type != "sensor"', { type: 'sensor' }, false],
  ['attributes.floor = 3', { floor: 3 }, true],
  ['attributes.floor = 3', { floor: '3' }, false],
  ['attributes.floor < 3', { floor: 2 }, true],
  ['attributes.floor <= 3', { floor: 3 }, true],
  ['attributes.floor > 3', { floor: 3 }, false],
  ['attributes.floor >= -3', { floor: -3 }, true],
  ['attributes.floor > 1', { floor: '2' }, false],
])('CG-04 compares: %s of %j is %j', (query, attributes, expected) => {
  expect(matches(query, attributes)).toBe(expected)
})

test.each<[string, Attributes, boolean]>([
  ['attributes.type IN ["a", \'b\', 3]', { type: 'b' }, true],
  ['attributes.type in ["a", 3]', { type: 3 }, true],
  ['attributes.type IN ["a"]', { type: 'b' }, false],
  ['attributes.type IN ["a"]', {}, false],
  ['attributes.types IN ["a", "b"]', { types: ['x', 'b'] }, true],
])('CG-05 looks in a list: %s of %j is %j', (query, attributes, expected) => {
  expect(matches(query, attributes)).toBe(expected)
})

test.each<[string, Attributes, boolean]>([
  ['attributes.a = 1 or attributes.b = 1 and attributes.c = 1', { a: 1 }, true],
  ['(attributes.a = 1 or attributes.b = 1) and attributes.c = 1', { a: 1 }, false],
  ['(attributes.a = 1 OR attributes.b = 1) AND attributes.c = 1', { b: 1, c: 1 }, true],
])('CG-06 binds “and” tighter than “or”: %s of %j is %j', (query, attributes, expected) => {
  expect(matches(query, attributes)).toBe(expected)
})

test('CG-07 strings keep the other kind of quote and have no escapes', () => {
  expect(matches(`attributes.a = "it's" and attributes.b = 'say "hi"' and attributes.c = "\\"`, { a: "it's", b: 'say "hi"', c: '\\' })).toBe(true)
})

test('CG-08 equality with a list means that the list contains it', () => {
  expect(matches('attributes.sensors = "motion"', { sensors: ['noise', 'motion'] })).toBe(true)
  expect(matches('attributes.sensors = "light"', { sensors: ['noise', 'motion'] })).toBe(false)
  expect(matches('attributes.sensors != "light"', { sensors: ['noise', 'motion'] })).toBe(true)
  expect(matches('attributes.sensors != "motion"', { sensors: ['noise', 'motion'] })).toBe(false)
})

test.each(['=', '<>', '!='])('CG-09 a missing attribute makes %s false', (comparison) => {
  expect(matches(`attributes.a ${comparison} 1`, {})).toBe(false)
  expect(matches(`attributes.toString ${comparison} "x"`, {})).toBe(false)
  expect(matches(`attributes.__proto__ ${comparison} "x"`, {})).toBe(false)
})

test('CG-03 authenticationName is an operand and ignores case, as the identity does (CL-02)', () => {
  expect(matches("authenticationName = 'truck-1'", {})).toBe(true)
  expect(matches("authenticationName != 'TRUCK-1'", {})).toBe(false)
  expect(matches("authenticationName IN ['truck-2', 'TRUCK-1']", {})).toBe(true)
})

test.each<[string, number, string]>([
  ['', 0, 'the end is no operand'],
  ['type = 1', 0, '“type” is no operand'],
  ['attributes. = 1', 0, 'is no operand'],
  ['attributes.a.b = 1', 0, 'is no operand'],
  ['not attributes.a = 1', 0, 'is no operand'],
  ['attributes.a == 1', 14, 'is no value'],
  ['attributes.a like "x"', 13, 'is no comparison'],
  ['attributes.a = true', 15, 'is no value'],
  ['attributes.a = 1.5', 15, 'is not part of'],
  ['attributes.a = "x', 15, 'no closing quote'],
  ['attributes.a < "x"', 15, 'integers only'],
  ['authenticationName < 3', 19, 'integers only'],
  ['attributes.a = 9007199254740993', 15, 'beyond the integers'],
  ['(attributes.a = 1', 17, '“)” is expected'],
  ['attributes.a = 1)', 16, 'should end'],
  ['attributes.a = 1 attributes.b = 2', 17, 'should end'],
  ['attributes.a IN []', 17, 'is no value'],
  ['attributes.a IN [1 2]', 19, '“]” is expected'],
  ['attributes.a = 1 or', 19, 'the end is no operand'],
  ['attributes.a = 1; drop', 16, '“;” is not part of'],
])('CG-07 a wrong query is refused where it is wrong: %s', (query, position, message) => {
  let error: unknown
  try {
    compileQuery(query)
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(QueryError)
  expect((error as QueryError).message).toContain(message)
  expect((error as QueryError).position).toBe(position)
})

test('CG-01 length and depth are bounded', () => {
  const nested = (depth: number) => `${'('.repeat(depth)}attributes.a = 1${')'.repeat(depth)}`
  expect(compileQuery(nested(63))({ authenticationName: 'x', attributes: { a: 1 } })).toBe(true)
  expect(() => compileQuery(nested(64))).toThrow('nested deeper than 64')
  expect(() => compileQuery('('.repeat(1_000_000))).toThrow('at most 16384 characters')
  expect(() => compileQuery('('.repeat(16_000))).toThrow('nested deeper')
})

test('CG-07 whatever is given, the answer is a predicate or a QueryError', () => {
  const piece = fc.constantFrom('attributes.a', 'authenticationName', '=', '<', 'IN', '[', ']', ',', '(', ')', '"x"', '1', 'and', 'or', ' ', "'", '"', '-')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(' ')),
      ),
      (query) => {
        try {
          expect(typeof compileQuery(query)({ authenticationName: 'x', attributes: { a: 1 } })).toBe('boolean')
        } catch (error) {
          expect(error).toBeInstanceOf(QueryError)
        }
      },
    ),
    { numRuns: 2000 },
  )
})
