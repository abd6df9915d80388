import { expect, test } from '@jest/globals'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { gatewaySettings } from '../../../gateway/config.ts'
import { FetchedLists } from '../../../gateway/fetched-lists.ts'
import { type GatewayLevels, GatewayMetrics } from '../../../gateway/metrics.ts'
import { readSettings } from '../../../settings/setting.ts'
import { makeIssuer, revocationList } from '../access/chain-pki.ts'
import { viewOf } from '../access/registry.ts'

const now = Date.UTC(2026, 10, 25)
const authority = await makeIssuer('Fleet', { now })

/** Serves one list after the other; each is due again at once. */
function world() {
  let served = ''
  let at = now
  let over: () => void = () => {}
  const registry = new Registry()
  const config = readSettings(gatewaySettings, {})
  const view = viewOf({ caCertificates: { fleet: { encodedCertificate: authority.pem, revocationListUrl: 'https://ca.example.com/fleet.crl' } } })
  const fetchedLists = new FetchedLists({
    config,
    requests: { send: () => Promise.resolve({ status: 200, headers: {}, body: Buffer.from(served) }) },
    view: () => view,
    now: () => at,
    metrics: new GatewayMetrics(registry, () => ({}) as GatewayLevels),
    logger: pino({ level: 'warn' }, { write: () => over() }),
    onChange: () => over(),
  })
  return {
    /** Whether the serial number 0A is on the list that counts, once this one was fetched. */
    async fetch(list: string): Promise<boolean | undefined> {
      served = list
      at += config.CRL_REFRESH
      const isOver = new Promise<void>((resolve) => (over = resolve))
      fetchedLists.look(at)
      await isOver
      return fetchedLists.lists.get('fleet')?.serials.has('A')
    },
    async failed(): Promise<number | undefined> {
      const metric = await registry.getSingleMetric('loggerhead_revocation_lists_fetched_total')?.get()
      return metric?.values.find(({ labels }) => labels.result === 'failed')?.value
    },
  }
}

test('a fetched list that is older than the one before does not take its place, by its time or within the same second by its number', async () => {
  const { fetch, failed } = world()
  expect(await fetch(await revocationList(authority, ['0a'], { now, made: now - 2000, number: 7 }))).toBe(true)
  expect(await fetch(await revocationList(authority, [], { now, made: now - 3000, number: 8 }))).toBe(true)
  expect(await fetch(await revocationList(authority, [], { now, made: now - 2000, number: 6 }))).toBe(true)
  expect(await failed()).toBe(2)
  expect(await fetch(await revocationList(authority, [], { now, made: now - 2000, number: 8 }))).toBe(false)
  expect(await fetch(await revocationList(authority, ['0a'], { now, made: now - 1000, number: 1 }))).toBe(true)
  expect(await failed()).toBe(2)
})
