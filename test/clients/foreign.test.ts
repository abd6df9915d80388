import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Stack, startStack } from '../support/stack.ts'
import { onPath, Program, run } from '../wire/programs.ts'
import { type KeyPair, OpensslAuthority } from './certificates.ts'
import { JsClient } from './mqttjs.ts'
import { allow, put, registerAuthority, registerClient, tlsOptions } from './registered.ts'

const python = process.env.PYTHON ?? 'python3'
const missing = {
  mosquitto: onPath('mosquitto_pub') && onPath('mosquitto_sub') ? undefined : 'mosquitto-clients is not installed',
  paho: (await run(python, ['-c', 'import paho.mqtt.enums']).catch(() => ({ code: 1 }))).code === 0 ? undefined : `paho-mqtt 2 is not installed for ${python}`,
  openssl: OpensslAuthority.isInstalled ? undefined : 'openssl is not installed',
}

/** Skipped, with the reason in its title, where a foreign program is missing. */
function needs(reason: string | undefined): (title: string, body: () => Promise<void>, timeout?: number) => void {
  return reason === undefined ? test : (title, body) => test.skip(`${title} [skipped: ${reason}]`, body)
}

let stack: Stack
let authority: OpensslAuthority
let pair: KeyPair

beforeAll(async () => {
  stack = await startStack()
  if (missing.openssl) return
  authority = await OpensslAuthority.make('Foreign Test CA')
  await registerAuthority(stack, 'foreign-test-ca', authority)
  pair = await registerClient(stack, authority, 'sample_client', { type: 'sample-client' })
  await put(stack, 'topicSpaces/samples', { topicTemplates: ['sample/#'] })
  await allow(stack, 'samplesPub', '$all', 'samples', 'Publisher')
  await allow(stack, 'samplesSub', '$all', 'samples', 'Subscriber')
}, 180_000)

afterAll(async () => {
  authority?.remove()
  await stack?.stop()
})

describe('mosquitto_pub and mosquitto_sub [3.1.1 MQTT-7.0.0-2]', () => {
  /** Into a pipe mosquitto_sub does not say when it has subscribed: publishes until it has got one and ended. */
  async function publishUntilReceived(subscriber: Program, args: readonly string[], input?: string): Promise<string> {
    for (let ended = false; !ended; ) {
      expect(await run('mosquitto_pub', args, { ...(input !== undefined && { input }) })).toMatchObject({ code: 0, errors: '' })
      ended = await Promise.race([subscriber.ended.then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, 200, false))])
    }
    const { code, output, errors } = await subscriber.ended
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
    return output
  }

  const versions = ['mqttv311', 'mqttv5'] as const

  for (const version of versions) {
    needs(missing.mosquitto)(`exchange a message in plain TCP, ${version}`, async () => {
      const to = ['-h', '127.0.0.1', '-p', String(stack.ports.mqtt), '-V', version]
      const topic = `sample/${randomBytes(4).toString('hex')}`
      const subscriber = new Program('mosquitto_sub', [...to, '-q', '1', '-t', `${topic}/#`, '-C', '1', '-F', '%t %q %p', '-W', '60'])
      expect(await publishUntilReceived(subscriber, [...to, '-q', '1', '-t', `${topic}/a`, '-m', 'hello'])).toBe(`${topic}/a 1 hello\n`)
    })

    needs(missing.mosquitto ?? missing.openssl)(`exchange a message over TLS with a client certificate made by openssl, ${version}`, async () => {
      const keys = ['--cafile', stack.certificates.ca, '--cert', pair.certificateFile, '--key', pair.keyFile, '-u', 'sample_client']
      const to = ['-h', 'localhost', '-p', String(stack.ports.mqtts), '-V', version, ...keys]
      const topic = `sample/${randomBytes(4).toString('hex')}`
      const subscriber = new Program('mosquitto_sub', [...to, '-i', `m-sub-${version}`, '-q', '1', '-t', topic, '-C', '1', '-F', '%t %p', '-W', '60'])
      expect(await publishUntilReceived(subscriber, [...to, '-i', `m-pub-${version}`, '-q', '1', '-t', topic, '-m', 'sealed'])).toBe(`${topic} sealed\n`)
    })
  }

  for (const version of versions) {
    needs(missing.mosquitto)(`exchange messages at QoS 2, each once, ${version}`, async () => {
      const to = ['-h', '127.0.0.1', '-p', String(stack.ports.mqtt), '-V', version, '-q', '2']
      const id = `twice-${randomBytes(4).toString('hex')}`
      const topic = `sample/${id}`
      const kept = version === 'mqttv5' ? ['-x', '300'] : []
      expect(await run('mosquitto_sub', [...to, '-i', id, '-c', ...kept, '-t', topic, '-E'])).toMatchObject({ code: 0 })
      const lines = Array.from({ length: 40 }, (_, i) => `${i}`)
      expect(await run('mosquitto_pub', [...to, '-i', `${id}-pub`, '-c', ...kept, '-t', topic, '-l'], { input: lines.join('\n') })).toMatchObject({ code: 0 })
      const { output } = await run('mosquitto_sub', [...to, '-i', id, '-c', ...kept, '-t', topic, '-C', '40', '-F', '%p %q', '-W', '60'])
      expect(output.trim().split('\n')).toEqual(lines.map((each) => `${each} 2`))
      expect((await run('mosquitto_sub', [...to, '-i', id, '-c', ...kept, '-t', topic, '-C', '1', '-W', '2'])).output).toBe('')
    })
  }

  needs(missing.mosquitto)('carry MQTT 5 properties and binary payloads through', async () => {
    const to = ['-h', '127.0.0.1', '-p', String(stack.ports.mqtt), '-V', 'mqttv5']
    const topic = `sample/${randomBytes(4).toString('hex')}`
    const subscriber = new Program('mosquitto_sub', [...to, '-q', '1', '-t', topic, '-C', '1', '-F', '%C|%R|%D|%P|%x', '-W', '60'])
    const properties = ['content-type text/plain', 'response-topic sample/answer', 'correlation-data c-1', 'user-property unit °C'].flatMap((each) => {
      const [name = '', ...rest] = each.split(' ')
      return ['-D', 'publish', name, ...(name === 'user-property' ? rest : [rest.join(' ')])]
    })
    const output = await publishUntilReceived(subscriber, [...to, '-q', '1', '-t', topic, '-s', ...properties], '\u0000\u0001 ÿ')
    expect(output).toContain('text/plain|sample/answer|c-1|unit:°C|')
    expect(output).toContain(Buffer.from('\u0000\u0001 ÿ').toString('hex'))
  })

  needs(missing.mosquitto)('queue messages for mosquitto_sub -c while it is away', async () => {
    const to = ['-h', '127.0.0.1', '-p', String(stack.ports.mqtt)]
    const id = `away-${randomBytes(4).toString('hex')}`
    const topic = `sample/${id}`
    expect(await run('mosquitto_sub', [...to, '-i', id, '-c', '-q', '1', '-t', topic, '-E'])).toMatchObject({ code: 0 })
    expect(await run('mosquitto_pub', [...to, '-q', '1', '-t', topic, '-l'], { input: 'one\ntwo\nthree\n' })).toMatchObject({ code: 0 })
    const { output } = await run('mosquitto_sub', [...to, '-i', id, '-c', '-q', '1', '-t', topic, '-C', '3', '-W', '60'])
    expect(output.trim().split('\n')).toEqual(['one', 'two', 'three'])
  })
})

describe('MQTT.js', () => {
  for (const version of [4, 5] as const) {
    for (const transport of ['mqtt', 'mqtts', 'ws', 'wss'] as const) {
      const isTls = transport.endsWith('s') && transport !== 'ws'
      needs(isTls ? missing.openssl : undefined)(`publishes and subscribes over ${transport} in version ${version === 4 ? '3.1.1' : '5'}`, async () => {
        const path = transport.startsWith('ws') ? '/mqtt' : ''
        const url = `${transport}://localhost:${stack.ports[transport]}${path}`.replace('localhost', isTls ? 'localhost' : '127.0.0.1')
        const js = await JsClient.connect(url, {
          protocolVersion: version,
          clientId: `js-${transport}-${version}`,
          ...(isTls ? { ...tlsOptions(stack, pair), username: 'sample_client' } : {}),
        })
        try {
          const topic = `sample/js/${transport}/${version}`
          expect(await js.subscribe(`sample/js/${transport}/+`)).toBe(1)
          const payload = randomBytes(100_000)
          const properties = { contentType: 'application/octet-stream', userProperties: { a: ['1', '2'], b: '3' } }
          await js.client.publishAsync(topic, payload, { qos: 1, ...(version === 5 && { properties }) })
          await js.client.publishAsync(topic, 'at most once', { qos: 0 })
          const first = await js.next()
          expect(first).toMatchObject({ topic, packet: { qos: 1, dup: false, retain: false } })
          expect(first.payload.equals(payload)).toBe(true)
          if (version === 5) expect(first.packet.properties).toMatchObject({ contentType: properties.contentType, userProperties: { a: ['1', '2'], b: '3' } })
          expect(await js.next()).toMatchObject({ payload: Buffer.from('at most once'), packet: { qos: 0 } })
          expect(await js.subscribe(`sample/js/${transport}/exactly`, 2)).toBe(2)
          const each = Array.from({ length: 50 }, (_, i) => `${i}`)
          await Promise.all(each.map((text) => js.client.publishAsync(`sample/js/${transport}/exactly`, text, { qos: 2 })))
          const got: string[] = []
          while (got.length < each.length) {
            const { payload: text, packet } = await js.next()
            expect(packet.qos).toBe(2)
            got.push(text.toString())
          }
          expect(got).toEqual(each)
          await js.client.unsubscribeAsync(`sample/js/${transport}/+`)
        } finally {
          await js.end()
        }
      })
    }
  }
})

describe('Python paho', () => {
  const script = join(import.meta.dirname, 'getting-started.py')
  for (const version of ['4', '5']) {
    needs(missing.paho)(`runs getting_started in plain TCP, version ${version === '4' ? '3.1.1' : '5'}`, async () => {
      const { code, output, errors } = await run(python, [script, '127.0.0.1', String(stack.ports.mqtt), version, 'somebody', '', '', ''])
      expect(errors).toBe('')
      expect(output).toContain('received sample/topic1 hello world! 1')
      expect(code).toBe(0)
    })
    needs(missing.paho ?? missing.openssl)(`runs getting_started over TLS as sample_client, version ${version === '4' ? '3.1.1' : '5'}`, async () => {
      const files = [stack.certificates.ca, pair.certificateFile, pair.keyFile]
      const { output, errors } = await run(python, [script, 'localhost', String(stack.ports.mqtts), version, 'sample_client', ...files])
      expect(errors).toBe('')
      expect(output).toContain('received sample/topic1 hello world! 1')
    })
  }
})
