import { expect, test } from '@jest/globals'
import { type GatewayFigures, nothingBefore, readFigures, tellFigures } from '../../../door/figures.ts'

const figures = (id: string, more: Partial<GatewayFigures> = {}): GatewayFigures => ({
  id,
  version: '1.2.3',
  uptimeSeconds: 10,
  clientsConnected: 1,
  packetsReceived: 20,
  packetsSent: 30,
  publishesReceived: 4,
  publishesSent: 5,
  publishesDropped: 1,
  bytesReceived: 600,
  bytesSent: 700,
  ...more,
})

test('each gateway is told below its id, and their sum under the names of mosquitto', () => {
  const { payloads } = tellFigures([figures('gateway'), figures('gateway-2', { uptimeSeconds: 99.9, clientsConnected: 2 })], nothingBefore, 1000)
  const told = (prefix: string) =>
    Object.fromEntries([...payloads].filter(([topic]) => topic.startsWith(prefix)).map(([topic, text]) => [topic.slice(prefix.length), text]))
  expect(told('$SYS/broker/gateways/gateway-2/')).toEqual({
    version: 'Loggerhead 1.2.3',
    uptime: '99 seconds',
    'clients/connected': '2',
    'messages/received': '20',
    'messages/sent': '30',
    'publish/messages/received': '4',
    'publish/messages/sent': '5',
    'publish/messages/dropped': '1',
    'bytes/received': '600',
    'bytes/sent': '700',
  })
  expect(told('$SYS/broker/')).toMatchObject({ version: 'Loggerhead 1.2.3', uptime: '99 seconds', 'clients/connected': '3', 'messages/received': '40' })
  expect([...payloads.keys()].every((topic) => topic.startsWith('$SYS/broker/'))).toBe(true)
})

test('where no gateway answers, nothing is told but that nothing comes in', () => {
  expect([...tellFigures([], nothingBefore, 1000).payloads.keys()].filter((topic) => !topic.includes('/load/'))).toEqual([])
})

test('the load is per minute, averaged over one, five and fifteen minutes', () => {
  const load = (payloads: ReadonlyMap<string, string>) => [1, 5, 15].map((period) => payloads.get(`$SYS/broker/load/publish/received/${period}min`))
  const first = tellFigures([figures('g', { publishesReceived: 1000 })], nothingBefore, 60_000)
  expect(load(first.payloads)).toEqual(['0.00', '0.00', '0.00']) // what came before is of an unknown time
  const second = tellFigures([figures('g', { publishesReceived: 1600 })], first.next, 60_000)
  expect(load(second.payloads)).toEqual(['379.27', '108.76', '38.70'])
  const third = tellFigures([figures('g', { publishesReceived: 1600 })], second.next, 60_000)
  expect(load(third.payloads)).toEqual(['139.53', '89.05', '36.20'])
})

test('a gateway that has started again counts from 0, one that did not answer is not taken to have lost anything', () => {
  const load = (payloads: ReadonlyMap<string, string>) => payloads.get('$SYS/broker/load/bytes/sent/1min')
  const rate = (perMinute: number) => (perMinute * (1 - Math.exp(-1))).toFixed(2)
  const { next } = tellFigures([figures('g', { bytesSent: 1000 })], nothingBefore, 60_000)
  expect(load(tellFigures([figures('g', { bytesSent: 60 })], next, 60_000).payloads)).toBe(rate(60))
  const away = tellFigures([], next, 60_000)
  expect(load(away.payloads)).toBe('0.00')
  expect(load(tellFigures([figures('g', { bytesSent: 1120 })], away.next, 60_000).payloads)).toBe(rate(120))
})

test('the figures of all namespaces of a gateway are summed; what is none counts as 0, and a status without any is none', () => {
  const { id: _, ...told } = figures('g')
  const status = { ok: true, figures: told, namespaces: { one: { figures: { ...told, clientsConnected: 5, bytesSent: 'many' } }, two: { ok: false } } }
  expect(readFigures('g', status)).toEqual(
    figures('g', {
      clientsConnected: 6,
      packetsReceived: 40,
      packetsSent: 60,
      publishesReceived: 8,
      publishesSent: 10,
      publishesDropped: 2,
      bytesReceived: 1200,
    }),
  )
  for (const none of [null, 'x', {}, { figures: null }, { namespaces: { one: { figures: told } } }]) expect(readFigures('g', none)).toBeNull()
})
