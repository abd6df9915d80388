import { describe, expect, test } from '@jest/globals'
import { Load } from '../../kill/harness.ts'
import { Mosquitto } from '../../wire/mosquitto.ts'

const title = 'the harness, tried on a broker that forgets everything when it is killed'
const installed = Mosquitto.isInstalled ? describe : describe.skip

// If these two did not differ, the kill tests would prove nothing.
installed(Mosquitto.isInstalled ? title : `${title} [skipped: mosquitto is not installed]`, () => {
  test('finds nothing wrong while it lives, lost connections included', async () => {
    const mosquitto = await Mosquitto.start()
    try {
      const load = await Load.start({ endpoints: [mosquitto.endpoint], seed: 7, flapping: 2, transient: 1 })
      try {
        await load.after(150)
        load.mark()
        for (const each of load.publishers) each.cut()
        await load.resumed(60_000)
        await load.after(150)
        await load.finish(60_000)
        const verdict = load.verdict(null)
        expect(verdict.problems).toEqual([])
        expect(verdict.acknowledged).toBeGreaterThan(300)
        expect(verdict.delivered).toBeGreaterThanOrEqual(verdict.acknowledged * 5)
      } finally {
        await load.end()
      }
    } finally {
      await mosquitto.stop()
    }
  })

  test('finds nothing wrong at QoS 2 either', async () => {
    const mosquitto = await Mosquitto.start()
    try {
      const load = await Load.start({ endpoints: [mosquitto.endpoint], seed: 8, flapping: 2, qos: 2 })
      try {
        await load.after(150)
        load.mark()
        for (const each of load.publishers) each.cut()
        await load.resumed(60_000)
        await load.finish(60_000)
        const verdict = load.verdict(null)
        expect(verdict.problems).toEqual([])
        expect(verdict.acknowledged).toBeGreaterThan(150)
      } finally {
        await load.end()
      }
    } finally {
      await mosquitto.stop()
    }
  })

  test('finds lost sessions and lost messages after a kill', async () => {
    const mosquitto = await Mosquitto.start()
    try {
      const load = await Load.start({ endpoints: [mosquitto.endpoint], seed: 7 })
      try {
        await load.after(150)
        load.mark()
        await mosquitto.killAndRestart()
        await load.resumed(60_000)
        await load.finish(2_000)
        const { problems } = load.verdict(null)
        expect(problems.some((each) => each.includes('the session was gone'))).toBe(true)
        expect(problems.some((each) => /offline-0 misses in/.test(each))).toBe(true)
      } finally {
        await load.end()
      }
    } finally {
      await mosquitto.stop()
    }
  })
})
