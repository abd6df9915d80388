import { expect, test } from '@jest/globals'
import { readCliConfig } from '../../../cli/config.ts'
import { explainDistrust, explainRefusal, judgeDates, listenersOf } from '../../../cli/doctor.ts'
import { kindNamed } from '../../../cli/kinds.ts'
import { show, table } from '../../../cli/output.ts'
import { diffOf, planText, stepTo } from '../../../cli/plan.ts'
import { shownRecord, shownValue } from '../../../cli/tail.ts'

test('a plan says field by field what changes, and sums up', () => {
  const groups = kindNamed('groups')!
  const steps = [
    stepTo(groups, 'new', undefined, { query: 'a' }),
    stepTo(groups, 'same', { query: 'a' }, { query: 'a' }),
    stepTo(groups, 'other', { query: 'a', description: 'x', deep: { b: [1] } }, { query: 'b', deep: { b: [1, 2] } }),
    { change: 'delete' as const, kind: groups, name: 'gone', diff: [] },
  ]
  expect(planText(steps).split('\n')).toEqual([
    '+ clientGroups/new',
    '    + query: "a"',
    '~ clientGroups/other',
    '    - query: "a"',
    '    + query: "b"',
    '    - description: "x"',
    '    - deep.b: [1]',
    '    + deep.b: [1,2]',
    '- clientGroups/gone',
    '1 to create, 1 to update, 1 to delete, 1 unchanged',
  ])
  expect(diffOf({ a: { b: 1 } }, { a: { b: 1 } })).toEqual([])
})

test('tables have columns as wide as their widest cell; long cells are cut and lines joined', () => {
  const columns = [
    { title: 'NAME', of: (row: { n: string }) => row.n },
    { title: 'LENGTH', of: (row: { n: string }) => row.n.length },
  ]
  expect(table([{ n: 'a' }, { n: 'longer' }], columns)).toBe('NAME    LENGTH\na       1\nlonger  6')
  expect(table([{ n: 'x'.repeat(100) }], columns)).toContain(`${'x'.repeat(79)}…`)
  const rows = Array.from({ length: 150_000 }, (_, i) => ({ n: String(i) }))
  expect(table(rows, columns).split('\n')).toHaveLength(rows.length + 1)
  expect(show('json', [{ n: 'a' }], columns)).toBe('[\n  {\n    "n": "a"\n  }\n]')
  expect(show('yaml', { n: 'a' }, columns)).toBe('n: a')
})

test('the key comes from the environment; where it is missing, the message says how to give it', () => {
  expect(readCliConfig({ LOGGERHEAD_API_KEY: 'k' }).key()).toBe('k')
  expect(() => readCliConfig({ LOGGERHEAD_DATA: '/nowhere' }).key()).toThrow(
    'LOGGERHEAD_API_KEY: is not set, nor LOGGERHEAD_API_KEY_FILE, and there is no /nowhere/api-key',
  )
  expect(() => readCliConfig({ LOGGERHEAD_API_KEY_FILE: '/nowhere' }).key()).toThrow('there is no file “/nowhere”')
  expect(() => readCliConfig({ LOGGERHEAD_URL: 'localhost:8080' })).toThrow('LOGGERHEAD_URL')
})

test('doctor: a certificate that has expired, is not valid yet, or soon will not be', () => {
  const now = Date.UTC(2026, 0, 1)
  const day = 86_400_000
  const judge = (from: number, to: number) => judgeDates(new Date(now + from * day), new Date(now + to * day), now).health
  expect([judge(-10, -1), judge(1, 100), judge(-1, 10), judge(-1, 100)]).toEqual(['failed', 'failed', 'warning', 'ok'])
  expect(explainRefusal(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toContain('nothing listens there')
  expect(listenersOf({ MQTT_PORT: '1', WS_PORT: 'off' }).map(({ name, port }) => [name, port])).toEqual([
    ['mqtt', 1],
    ['mqtts', 8883],
    ['ws', undefined],
    ['wss', 8084],
  ])
})

test('tail: of a key that messages are sealed with all is shown but the key', () => {
  const record = { authenticationName: 'ada', id: Buffer.from([1, 2]), key: Buffer.from('0123456789abcdef0123456789abcdef'), at: 1 }
  expect(shownRecord('ClientKey', record)).toMatchObject({ authenticationName: 'ada', key: null })
  expect(JSON.stringify(shownRecord('ClientKey', record))).not.toContain('0123456789')
  const chunk = { writer: 1, position: 9, chunk: 0, records: [{ offset: 3, key: 'apiKeys/k', value: Buffer.from('hash') }] }
  expect(shownRecord('RegistrySnapshotChunk', chunk)).toEqual({ ...chunk, records: [{ offset: 3, key: 'apiKeys/k' }] })
})

test('tail: bytes are text where they are some, JSON within a record is taken apart, hashes of keys are left out', () => {
  expect(
    shownValue({
      payload: Buffer.from('hi'),
      raw: Buffer.from([255]),
      data: '{"a": 1}',
      properties: '{"role": "reader", "hash": "x"}',
      list: [Buffer.from('a')],
    }),
  ).toEqual({
    payload: 'hi',
    raw: '/w==',
    data: { a: 1 },
    properties: { role: 'reader' },
    list: ['a'],
  })
})

test('doctor: an untrusted certificate is explained by chain, name (SNI) and time', () => {
  const explained = (code: string) => explainDistrust(code, 'broker.example', 'DNS:localhost')
  expect(explained('UNABLE_TO_VERIFY_LEAF_SIGNATURE')).toContain('TLS_CERT holds the whole chain')
  expect(explained('SELF_SIGNED_CERT_IN_CHAIN')).toContain('--ca')
  expect(explained('ERR_TLS_CERT_ALTNAME_INVALID')).toContain('not for “broker.example”, the name that was asked for (SNI), but for DNS:localhost')
  expect(explained('CERT_HAS_EXPIRED')).toContain('renew it')
  expect(explained('SOMETHING_ELSE')).toBe('SOMETHING_ELSE')
})
