/** The broker's figures below $SYS, from a door and its gateways to a subscriber. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { closeAll, closing, openDoor, until, upstream } from './fixtures.ts'
import { mqttStandIn, type StandIn } from './mqtt-stand-in.ts'

afterEach(closeAll)

function keyFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'loggerhead-door-'))
  closing(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'internal-key'), 'a key of the house\n')
  return join(folder, 'internal-key')
}

/** A gateway's /status with these figures. */
const telling = (figures: object): Promise<string> => upstream((_request, response) => response.end(JSON.stringify({ ok: true, figures })))

const told = (standIn: StandIn) => standIn.seen.flatMap((packet) => (packet.cmd === 'publish' ? [[packet.topic, String(packet.payload)] as const] : []))

test('SYS_TOPICS_INTERVAL: the figures of every gateway that answers are published as retained topics that expire, under the internal name', async () => {
  const gateway = await mqttStandIn()
  await openDoor({
    SYS_TOPICS_INTERVAL: '1',
    GATEWAY_URLS: `one=${await telling({ version: '1.0.0', clientsConnected: 2 })},two=${await telling({ version: '1.0.0', clientsConnected: 3 })},gone=http://127.0.0.1:1`,
    CANARY_ADDRESSES: `one=${gateway.address}`,
    INTERNAL_KEY_FILE: keyFile(),
  })
  await until(() => told(gateway).length > 0)
  expect(gateway.seen[0]).toMatchObject({
    cmd: 'connect',
    clientId: '$loggerhead/figures',
    username: '$loggerhead',
    password: Buffer.from('a key of the house'),
  })
  const published = gateway.seen.find((packet) => packet.cmd === 'publish')
  expect(published).toMatchObject({ qos: 0, retain: true, properties: { messageExpiryInterval: 3 } })
  const expected = {
    '$SYS/broker/clients/connected': '5',
    '$SYS/broker/version': 'Loggerhead 1.0.0',
    '$SYS/broker/gateways/one/clients/connected': '2',
    '$SYS/broker/gateways/two/clients/connected': '3',
  }
  await until(() => Object.entries(expected).every(([topic, text]) => told(gateway).some((each) => each[0] === topic && each[1] === text)))
  expect(told(gateway).filter(([topic]) => topic.includes('gone'))).toEqual([])
})

test('SYS_TOPICS_INTERVAL: when a gateway does not take them, they go through the next one', async () => {
  const second = await mqttStandIn()
  await openDoor({
    SYS_TOPICS_INTERVAL: '1',
    GATEWAY_URLS: await telling({ clientsConnected: 1 }),
    CANARY_ADDRESSES: `one=127.0.0.1:1,two=${second.address}`,
    INTERNAL_KEY_FILE: keyFile(),
  })
  await until(() => told(second).some(([topic, text]) => topic === '$SYS/broker/clients/connected' && text === '1'))
})

test('SYS_TOPICS_INTERVAL without a gateway to publish through stops the start by name', async () => {
  await expect(openDoor({ SYS_TOPICS_INTERVAL: '1' })).rejects.toThrow('SYS_TOPICS_INTERVAL: 1 needs CANARY_ADDRESSES')
})
