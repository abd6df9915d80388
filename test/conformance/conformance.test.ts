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
import { type Case, Trial } from './trial.ts'
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

beforeAll(async () => {
  broker = await startBroker()
}, 120_000)

afterAll(async () => {
  await broker?.stop()
})

for (const [section, cases] of sections) {
  for (const version of [4, 5] as const) {
    describe(`${section}, MQTT ${version === 4 ? '3.1.1' : '5'}`, () => {
      for (const each of cases.filter((one) => (one.versions ?? [4, 5]).includes(version))) {
        test(`[${each.clause}] ${each.title}`, async () => {
          const trial = new Trial(broker, version)
          try {
            await each.run(trial)
          } finally {
            await trial.end()
          }
        })
      }
    })
  }
}
