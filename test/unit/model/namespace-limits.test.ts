import { describe, expect, test } from '@jest/globals'
import {
  limitInForce,
  limitNames,
  limitPresets,
  type NamespaceLimit,
  namespaceLimits,
  narrow,
  openRules,
  ruleNames,
  rulesInForce,
} from '../../../model/namespace-limits.ts'
import { readProperties } from '../../../model/registry-resources.ts'
import { resourceSchemas } from '../../../registry/resource-schemas.ts'
import { readTable } from '../../../stack/setting-tables.ts'

const project = new URL('../../..', import.meta.url).pathname
const processes = ['gateway', 'router', 'registry'] as const
const registryTable = await readTable(project, 'registry')
const tables = Object.assign({}, ...(await Promise.all(processes.map((name) => readTable(project, name)))))

describe.each(Object.entries<NamespaceLimit>(namespaceLimits))('%s', (name, { setting, eventgrid, least = 0 }) => {
  const limit = name as keyof typeof namespaceLimits
  const { default: most, min } = tables[setting]

  test('narrows a number of the deployment, which is its value in the preset open', () => {
    expect(tables[setting]).toMatchObject({ kind: 'number' })
    expect(limitInForce(limit, undefined, most)).toBe(most)
    expect(limitInForce(limit, { preset: 'open' }, most)).toBe(most)
  })

  test('is what Event Grid publishes in the preset eventgrid, unless the deployment allows less', () => {
    expect(eventgrid).toBeLessThanOrEqual(most)
    expect(limitInForce(limit, { preset: 'eventgrid' }, most)).toBe(eventgrid)
    expect(limitInForce(limit, { preset: 'eventgrid' }, min)).toBe(min)
  })

  test.each(limitPresets)('is changed alone over the preset %s, neither above the deployment’s setting nor below the least that makes sense', (preset) => {
    expect(limitInForce(limit, { preset, [limit]: least + 1 }, most)).toBe(Math.min(least + 1, most))
    expect(limitInForce(limit, { preset, [limit]: most + 1 }, most)).toBe(most)
    expect(limitInForce(limit, { preset, [limit]: -1 }, most)).toBe(least)
    // A number of resources may be none at all; the rest has to leave a protocol that works.
    if (!(setting in registryTable)) expect(least).toBeGreaterThanOrEqual(min)
  })
})

test.each(ruleNames)('the rule %s is off in the preset open, on in eventgrid, and set alone over both', (rule) => {
  expect([openRules[rule], rulesInForce(undefined)[rule], rulesInForce({ preset: 'open' })[rule]]).toEqual([false, false, false])
  expect(rulesInForce({ preset: 'eventgrid' })[rule]).toBe(true)
  expect(rulesInForce({ preset: 'eventgrid', [rule]: false })).toEqual({ ...rulesInForce({ preset: 'eventgrid' }), [rule]: false })
  expect(rulesInForce({ preset: 'open', [rule]: true })).toEqual({ ...openRules, [rule]: true })
})

test('settings that nothing narrows are the same object: a namespace without limits costs nothing', () => {
  const settings = { TOPIC_LENGTH_MAX: 100, OTHER: 'text' }
  expect(narrow(settings, undefined)).toBe(settings)
  expect(narrow(settings, { preset: 'open' })).toBe(settings)
  expect(narrow(settings, { preset: 'eventgrid' })).toBe(settings)
  expect(narrow(settings, { preset: 'open', topicLength: 50 })).toEqual({ TOPIC_LENGTH_MAX: 50, OTHER: 'text' })
})

test('what the API takes is what the folds read', () => {
  const { limits } = resourceSchemas.namespace.properties as { limits: { properties: object } }
  expect(Object.keys(limits.properties)).toEqual(['preset', ...limitNames, ...ruleNames, 'sessionQueueFull'])
  const asked = {
    preset: 'eventgrid',
    ...Object.fromEntries(limitNames.map((name) => [name, 7])),
    ...Object.fromEntries(ruleNames.map((name) => [name, false])),
    sessionQueueFull: 'dropOldest',
  }
  expect(readProperties('namespace', 'n', JSON.stringify({ limits: { ...asked, unheardOf: 1 } }))?.limits).toEqual(asked)
  expect(readProperties('namespace', 'n', JSON.stringify({ limits: { preset: 'azure', topicLength: 'long' } }))?.limits).toEqual({ preset: 'open' })
})
