import { afterAll, beforeAll, describe, test } from '@jest/globals'
import { type Broker, startBroker } from './broker.ts'
import { connackCases } from './connack-cases.ts'
import { connectCases } from './connect-cases.ts'
import { exactlyOnceCases } from './exactly-once-cases.ts'
import { forwardingCases } from './forwarding-cases.ts'
import { malformedConnectCases, malformedPacketCases } from './malformed-cases.ts'
import { publishCases } from './publish-cases.ts'
import { retainedCases } from './retained-cases.ts'
import { sessionCases } from './session-cases.ts'
import { subscribeCases } from './subscribe-cases.ts'
import { type Case, Trial, type Version } from './trial.ts'
import { willCases } from './will-cases.ts'

const sections: readonly (readonly [string, readonly Case[]])[] = [
  ['CONNECT', connectCases],
  ['CONNACK', connackCases],
  ['a CONNECT with', malformedConnectCases],
  ['the end after', malformedPacketCases],
  ['PUBLISH', publishCases],
  ['forwarding', forwardingCases],
  ['QoS 2', exactlyOnceCases],
  ['SUBSCRIBE', subscribeCases],
  ['sessions', sessionCases],
  ['retained messages', retainedCases],
  ['wills', willCases],
]

let broker: Broker

async function run(each: Case, version: Version): Promise<void> {
  const trial = new Trial(broker, version)
  try {
    await each.run(trial)
  } finally {
    await trial.end()
  }
}

const casesOf = (cases: readonly Case[], version: Version) => cases.filter((one) => (one.versions ?? [4, 5]).includes(version))
const versions = [4, 5] as const
/** What lasts begins with the first test. */
const begun = new Map<string, Promise<void>>()
const keyOf = ({ title, clause }: Case, version: Version) => `${version} ${clause} ${title}`

beforeAll(async () => {
  broker = await startBroker()
  for (const [, cases] of sections)
    for (const version of versions)
      for (const each of casesOf(cases, version).filter(({ lasts }) => lasts)) {
        const running = run(each, version)
        running.catch(() => {}) // it is the failure of its own test
        begun.set(keyOf(each, version), running)
      }
}, 240_000)

afterAll(async () => {
  await broker?.stop()
})

for (const [section, cases] of sections) {
  for (const version of versions) {
    describe(`${section}, MQTT ${version === 4 ? '3.1.1' : '5'}`, () => {
      for (const each of casesOf(cases, version)) test(`[${each.clause}] ${each.title}`, () => begun.get(keyOf(each, version)) ?? run(each, version))
    })
  }
}
