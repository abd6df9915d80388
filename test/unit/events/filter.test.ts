import { expect, test } from '@jest/globals'
import { compileFilters, type FilteredEvent, filtersMax, filterTextMax, filterValuesMax, filterViolations } from '../../../events/filter.ts'
import { type EventFilter, type FiltersConfiguration, type OperatorType, operatorTypes } from '../../../model/event-subscriptions.ts'
import fc from '../../support/fast-check.ts'

interface Event {
  readonly data?: unknown
  readonly [attribute: string]: unknown
}

const seen = ({ data, ...attributes }: Event): FilteredEvent => ({ attribute: (name) => attributes[name], data: () => data })
const wants = (configuration: FiltersConfiguration, event: Event): boolean => compileFilters(configuration)(seen(event))
const matches = (filter: EventFilter, event: Event, enableAdvancedFilteringOnArrays = false): boolean =>
  wants({ filters: [filter], enableAdvancedFilteringOnArrays }, event)
const onData = (operatorType: OperatorType, operand: Pick<EventFilter, 'value' | 'values'>): EventFilter => ({ operatorType, key: 'data.x', ...operand })

test('NT-11 there are 19 operators', () => {
  expect(operatorTypes).toHaveLength(19)
})

test.each<[OperatorType, Pick<EventFilter, 'value' | 'values'>, readonly unknown[], readonly unknown[]]>([
  ['NumberIn', { values: [1, 2.5] }, [1, 2.5], [2, -1, '1', true]],
  ['NumberNotIn', { values: [1, 2.5] }, [2, -1], [1, 2.5]],
  ['NumberLessThan', { value: 3 }, [2.999, -3], [3, 4, '2']],
  ['NumberGreaterThan', { value: 3 }, [3.001, 1e300], [3, 2, '4']],
  ['NumberLessThanOrEquals', { value: 3 }, [3, -3], [3.001, '3']],
  ['NumberGreaterThanOrEquals', { value: 3 }, [3, 3.001], [2.999, '3']],
  [
    'NumberInRange',
    {
      values: [
        [1, 2],
        [5, 5],
      ],
    },
    [1, 1.5, 2, 5],
    [0.999, 2.001, 4, '1'],
  ],
  [
    'NumberNotInRange',
    {
      values: [
        [1, 2],
        [5, 5],
      ],
    },
    [0.999, 2.001, 4],
    [1, 1.5, 2, 5, '4'],
  ],
  ['BoolEquals', { value: true }, [true], [false, 'true', 1]],
  ['StringContains', { values: ['oo', 'äh'] }, ['door', 'DOOR', 'ZÄHLER'], ['dor', '', 3]],
  ['StringNotContains', { values: ['oo', 'äh'] }, ['dor', ''], ['DOOR', 'Zähler', 3]],
  ['StringBeginsWith', { values: ['do', 'wi'] }, ['Door', 'WINDOW'], ['indoor', 5]],
  ['StringNotBeginsWith', { values: ['do', 'wi'] }, ['indoor', ''], ['Door', 'WINDOW', 5]],
  ['StringEndsWith', { values: ['OR', 'ow'] }, ['door', 'Window'], ['doors', 5]],
  ['StringNotEndsWith', { values: ['OR', 'ow'] }, ['doors', ''], ['door', 'Window', 5]],
  ['StringIn', { values: ['Door', 'window'] }, ['dOOR', 'window'], ['doo', 'doors', 5]],
  ['StringNotIn', { values: ['Door', 'window'] }, ['doo', 'doors'], ['dOOR', 'window']],
  ['IsNotNull', {}, [0, '', false, [], {}], [null]],
  ['IsNullOrUndefined', {}, [null], [0, '', false, [], {}]],
])('NT-12 %s %j holds for each of %j and for none of %j', (operatorType, operand, wanted, others) => {
  for (const x of wanted) expect([x, matches(onData(operatorType, operand), { data: { x } })]).toEqual([x, true])
  for (const x of others) expect([x, matches(onData(operatorType, operand), { data: { x } })]).toEqual([x, false])
})

const operands: Record<OperatorType, Pick<EventFilter, 'value' | 'values'>> = {
  NumberIn: { values: [1] },
  NumberNotIn: { values: [1] },
  NumberLessThan: { value: 1 },
  NumberGreaterThan: { value: 1 },
  NumberLessThanOrEquals: { value: 1 },
  NumberGreaterThanOrEquals: { value: 1 },
  NumberInRange: { values: [[1, 2]] },
  NumberNotInRange: { values: [[1, 2]] },
  BoolEquals: { value: false },
  StringContains: { values: ['a'] },
  StringNotContains: { values: ['a'] },
  StringBeginsWith: { values: ['a'] },
  StringNotBeginsWith: { values: ['a'] },
  StringEndsWith: { values: ['a'] },
  StringNotEndsWith: { values: ['a'] },
  StringIn: { values: ['a'] },
  StringNotIn: { values: ['a'] },
  IsNullOrUndefined: {},
  IsNotNull: {},
}

test('NT-12 of all operators only NumberNotIn, StringNotIn and IsNullOrUndefined match a missing key, a null, or data that is none', () => {
  const wantedWithout = (event: Event): readonly string[] => operatorTypes.filter((type) => matches(onData(type, operands[type]), event))
  const three = ['NumberNotIn', 'StringNotIn', 'IsNullOrUndefined']
  expect(wantedWithout({ data: {} })).toEqual(three)
  expect(wantedWithout({ data: { x: null } })).toEqual(three)
  expect(wantedWithout({})).toEqual(three)
  expect(wantedWithout({ data: 'text' })).toEqual(three)
})

test('NT-12 a value of another type is like a missing key', () => {
  const wantedWith = (x: unknown): readonly string[] => operatorTypes.filter((type) => matches(onData(type, operands[type]), { data: { x } }))
  expect(wantedWith({ a: 1 })).toEqual(['NumberNotIn', 'StringNotIn', 'IsNotNull'])
  expect(wantedWith([1, 'a', false])).toEqual(['NumberNotIn', 'StringNotIn', 'IsNotNull'])
})

test('NT-12 the values of one filter are alternatives, the filters of a subscription are all demanded', () => {
  const filters: readonly EventFilter[] = [
    { operatorType: 'StringBeginsWith', key: 'subject', values: ['a/', 'b/'] },
    { operatorType: 'NumberGreaterThan', key: 'data.x', value: 1 },
  ]
  expect(wants({ filters }, { subject: 'b/1', data: { x: 2 } })).toBe(true)
  expect(wants({ filters }, { subject: 'c/1', data: { x: 2 } })).toBe(false)
  expect(wants({ filters }, { subject: 'b/1', data: { x: 1 } })).toBe(false)
})

test('NT-10 included event types are compared without regard to case, and demanded besides the filters', () => {
  const configuration: FiltersConfiguration = { includedEventTypes: ['Door.Opened', 'Door.Closed'], filters: [{ operatorType: 'IsNotNull', key: 'subject' }] }
  expect(wants(configuration, { type: 'door.opened', subject: 'x' })).toBe(true)
  expect(wants(configuration, { type: 'door.locked', subject: 'x' })).toBe(false)
  expect(wants(configuration, { type: 'door.opened' })).toBe(false)
  expect(wants({ includedEventTypes: [] }, { type: 'anything' })).toBe(true)
})

test('NT-10 without a configuration every event is wanted', () => {
  expect(compileFilters()(seen({}))).toBe(true)
})

test('NT-12 dots walk into data, and no further than what it holds itself', () => {
  const isNotNull = (key: string): boolean => matches({ operatorType: 'IsNotNull', key }, { data: { door: { open: true, list: [{ a: 1 }] }, 'door.width': 3 } })
  expect(isNotNull('data.door.open')).toBe(true)
  expect(isNotNull('data.door.list')).toBe(true)
  expect(isNotNull('data.door.list.0')).toBe(false)
  expect(isNotNull('data.door.list.length')).toBe(false)
  expect(isNotNull('data.door.width')).toBe(false)
  expect(isNotNull('data.constructor')).toBe(false)
  expect(isNotNull('data.__proto__')).toBe(false)
  expect(isNotNull('data.Door.open')).toBe(false)
})

test('NT-12 the elements of an array count when the switch for arrays is on', () => {
  const has = (filter: EventFilter, x: unknown): boolean => matches(filter, { data: { x } }, true)
  expect(has(onData('StringIn', { values: ['a'] }), ['b', 'A'])).toBe(true)
  expect(has(onData('StringIn', { values: ['a'] }), ['b'])).toBe(false)
  expect(has(onData('StringNotIn', { values: ['a'] }), ['b', 'A'])).toBe(false)
  expect(has(onData('StringNotIn', { values: ['a'] }), ['b'])).toBe(true)
  expect(has(onData('NumberNotInRange', { values: [[1, 2]] }), [0, 3])).toBe(true)
  expect(has(onData('NumberNotInRange', { values: [[1, 2]] }), [0, 2])).toBe(false)
  expect(has(onData('NumberIn', { values: [1] }), ['1', 1])).toBe(true)
  expect(has(onData('NumberIn', { values: [1] }), [{ a: 1 }, 1])).toBe(false)
  expect(has(onData('NumberIn', { values: [1] }), [])).toBe(false)
  expect(has(onData('NumberNotIn', { values: [1] }), [])).toBe(true)
})

test('NT-14 keys without “data” are attributes and extensions, whatever their case; eventid and eventtype are id and type', () => {
  const event = { id: '7', type: 'T', subject: 'S', myext: 'E', data: 'text' }
  const is = (key: string, value: string): boolean => matches({ operatorType: 'StringIn', key, values: [value] }, event)
  expect(is('Subject', 's')).toBe(true)
  expect(is('myext', 'e')).toBe(true)
  expect(is('eventId', '7')).toBe(true)
  expect(is('eventType', 't')).toBe(true)
  expect(is('data', 'TEXT')).toBe(true)
  expect(matches({ operatorType: 'StringIn', key: 'eventtype', values: ['own'] }, { ...event, eventtype: 'own' })).toBe(true)
})

test('NT-12 an attribute is the same as a text, as it comes in a header, and as a number or boolean, as it comes in JSON', () => {
  for (const size of [5, '5', '5.0', '5e0']) expect(matches({ operatorType: 'NumberIn', key: 'size', values: [5] }, { size })).toBe(true)
  for (const size of ['', ' 5', '0x5', 'five', 'Infinity']) expect(matches({ operatorType: 'NumberIn', key: 'size', values: [5, 0] }, { size })).toBe(false)
  for (const open of [true, 'true']) expect(matches({ operatorType: 'BoolEquals', key: 'open', value: true }, { open })).toBe(true)
  for (const size of [5, '5']) expect(matches({ operatorType: 'StringIn', key: 'size', values: ['5'] }, { size })).toBe(true)
})

test('NT-12 what is compiled never throws, whatever an event holds', () => {
  const filters = operatorTypes.flatMap((operatorType) => ['data.x', 'data', 'size'].map((key) => ({ operatorType, key, ...operands[operatorType] })))
  fc.assert(
    fc.property(fc.constantFrom(...filters), fc.anything(), fc.boolean(), (filter, value, switched) => {
      expect(typeof matches(filter, { size: value, data: { x: value } }, switched)).toBe('boolean')
    }),
  )
})

const fields = (configuration: unknown): readonly string[] => filterViolations(configuration).map(({ field }) => field.replace('filtersConfiguration.', ''))
const ofFilter = (filter: unknown): readonly string[] => fields({ filters: [filter] }).map((field) => field.replace('filters[0].', ''))

test('NT-10 a configuration with one filter of each operator is right', () => {
  expect(filterViolations({ includedEventTypes: ['a'], filters: operatorTypes.map((operatorType) => onData(operatorType, operands[operatorType])) })).toEqual(
    [],
  )
  expect(filterViolations({})).toEqual([])
})

test.each<[unknown, readonly string[]]>([
  [{ key: 'subject' }, ['operatorType']],
  [{ operatorType: 'toString', key: 'subject' }, ['operatorType']],
  [{ operatorType: 'IsNotNull' }, ['key']],
  [{ operatorType: 'IsNotNull', key: '' }, ['key']],
  [{ operatorType: 'IsNotNull', key: 'a.b' }, ['key']],
  [{ operatorType: 'IsNotNull', key: 'data..b' }, ['key']],
  [{ operatorType: 'IsNotNull', key: 'subject', value: 1 }, ['value']],
  [{ operatorType: 'IsNotNull', key: 'subject', values: [] }, ['values']],
  [{ operatorType: 'BoolEquals', key: 'data.x', value: 'true' }, ['value']],
  [{ operatorType: 'NumberLessThan', key: 'data.x' }, ['value']],
  [{ operatorType: 'NumberLessThan', key: 'data.x', values: [1] }, ['values', 'value']],
  [{ operatorType: 'NumberIn', key: 'data.x', values: [] }, ['values']],
  [{ operatorType: 'NumberIn', key: 'data.x', values: [1, '2'] }, ['values[1]']],
  [{ operatorType: 'NumberIn', key: 'data.x', value: 1 }, ['value', 'values']],
  [{ operatorType: 'NumberInRange', key: 'data.x', values: [[2, 1]] }, ['values[0]']],
  [{ operatorType: 'NumberInRange', key: 'data.x', values: [[1, 2, 3]] }, ['values[0]']],
  [{ operatorType: 'IsNotNull', key: 'subject', colour: 1 }, ['colour']],
])('NT-13 of the filter %j the wrong fields are named: %j', (filter, expected) => {
  expect(ofFilter(filter)).toEqual(expected)
})

test('NT-13 values and keys have at most 512 characters', () => {
  const [longest, tooLong] = ['x'.repeat(filterTextMax), 'x'.repeat(filterTextMax + 1)]
  expect(ofFilter({ operatorType: 'StringIn', key: longest, values: [longest, tooLong] })).toEqual(['values[1]'])
  expect(ofFilter({ operatorType: 'IsNotNull', key: tooLong })).toEqual(['key'])
})

test('NT-13 a subscription has at most 25 filters, and 25 values in all of them', () => {
  const isNotNull = { operatorType: 'IsNotNull', key: 'subject' }
  expect(fields({ filters: Array.from({ length: filtersMax }, () => isNotNull) })).toEqual([])
  expect(fields({ filters: Array.from({ length: filtersMax + 1 }, () => isNotNull) })).toEqual(['filters'])
  const numbers = (count: number) => ({ operatorType: 'NumberIn', key: 'data.x', values: Array.from({ length: count }, (_, n) => n) })
  const single = { operatorType: 'NumberLessThan', key: 'data.x', value: 1 }
  expect(fields({ filters: [numbers(filterValuesMax - 1), single] })).toEqual([])
  expect(fields({ filters: [numbers(filterValuesMax), single] })).toEqual(['filters'])
})

test('NT-13 what is no configuration at all is named, not thrown at', () => {
  expect(filterViolations('x').map(({ field }) => field)).toEqual(['filtersConfiguration'])
  expect(fields({ includedEventTypes: 'x', filters: {}, enableAdvancedFilteringOnArrays: 1, more: 1 })).toEqual([
    'more',
    'includedEventTypes',
    'enableAdvancedFilteringOnArrays',
    'filters',
  ])
  expect(fields({ includedEventTypes: ['a', ''], filters: [null] })).toEqual(['includedEventTypes[1]', 'filters[0]'])
  fc.assert(fc.property(fc.anything(), (configuration) => void filterViolations(configuration)))
})
