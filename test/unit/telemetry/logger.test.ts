import { expect, test } from '@jest/globals'
import { createLogger, linesWithheld } from '../../../telemetry/logger.ts'
import { Repeats } from '../../../telemetry/repeats.ts'

const defaults = { LOG_LEVEL: 'info', LOG_FORMAT: 'json', LOG_LINES_PER_SECOND_MAX: 20 } as const

function logger(config: Partial<Record<keyof typeof defaults, string | number>> = {}, more: { isTerminal?: boolean; now?: () => number } = {}) {
  const written: string[] = []
  const made = createLogger({
    service: 'gateway',
    instance: 'gateway-2',
    config: { ...defaults, ...config } as typeof defaults,
    destination: { write: (line: string) => void written.push(line) },
    isTerminal: false,
    ...more,
  })
  return { logger: made, written, lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

test('a line is JSON with its level, time, service, instance and fields', () => {
  const { logger: log, lines } = logger()
  log.info({ shard: 3 }, 'shard taken')
  expect(lines()).toEqual([{ level: 30, time: expect.any(Number), name: 'gateway', pid: process.pid, id: 'gateway-2', shard: 3, msg: 'shard taken' }])
})

test('LOG_LEVEL: lines below it are not written', () => {
  const { logger: log, lines } = logger({ LOG_LEVEL: 'warn' })
  log.info('no')
  log.warn('yes')
  expect(lines().map(({ msg }) => msg)).toEqual(['yes'])
})

test('an error is told with its message whichever of the two names it has', () => {
  const { logger: log, lines } = logger()
  log.error({ error: new Error('a') }, 'x')
  log.error({ err: new Error('b') }, 'x')
  expect(lines()).toEqual([
    expect.objectContaining({ error: expect.objectContaining({ message: 'a' }) }),
    expect.objectContaining({ err: expect.objectContaining({ message: 'b' }) }),
  ])
})

test('a secret that gets into a line’s fields is not written', () => {
  const { logger: log, written } = logger()
  log.info({ password: 'hunter2', request: { authorization: 'Bearer hunter2', path: '/x' }, token: 'hunter2' }, 'a request')
  expect(written.join('')).not.toContain('hunter2')
  expect(written.join('')).toContain('/x')
})

test('LOG_FORMAT: pretty on a terminal, JSON elsewhere, unless it is set', () => {
  const shownBy = (format: string, isTerminal: boolean): string => {
    const { logger: log, written } = logger({ LOG_FORMAT: format }, { isTerminal })
    log.info({ shard: 3 }, 'shard taken')
    return written.join('')
  }
  expect(shownBy('', true)).toMatch(/INFO.*gateway: shard taken.*shard.*3/s)
  expect(shownBy('pretty', false)).toMatch(/INFO.*gateway: shard taken/s)
  expect(shownBy('', false)).toMatch(/^\{/)
  expect(shownBy('json', true)).toMatch(/^\{/)
})

test('LOG_LINES_PER_SECOND_MAX: more lines of a kind in a second are counted, and the count is told', async () => {
  const { logger: log, lines } = logger({ LOG_LINES_PER_SECOND_MAX: 2 }, { now: () => 5_000 })
  for (let i = 0; i < 10; i++) log.warn({ i }, 'again')
  log.warn('another')
  expect(lines().map(({ msg, i }) => [msg, i])).toEqual([
    ['again', 0],
    ['again', 1],
    ['another', undefined],
  ])
  expect(linesWithheld(log)).toBe(8)
  while (lines().length < 4) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(lines()[3]).toMatchObject({ level: 40, msg: 'again', more: 8 })
})

test('LOG_LINES_PER_SECOND_MAX: lines of too many kinds are counted together, and the count is told', async () => {
  const { logger: log, lines } = logger({ LOG_LINES_PER_SECOND_MAX: 1 }, { now: () => 5_000 })
  for (let i = 0; i < 1_010; i++) log.error(`kind ${i}`)
  expect(linesWithheld(log)).toBe(9)
  const written = lines().length
  while (lines().length === written) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(lines().slice(written)).toMatchObject([{ level: 40, msg: 'lines of other kinds', more: 9 }])
})

test('the next second has lines of its own, and what the one before withheld is told once', () => {
  const repeats = new Repeats(1)
  expect([repeats.take('a', 0), repeats.take('a', 1), repeats.take('a', 999)]).toEqual([true, false, false])
  expect([repeats.take('a', 1000), repeats.take('a', 1001)]).toEqual([true, false])
  expect(repeats.due()).toEqual([{ kind: 'a', more: 3 }])
  expect(repeats.due()).toEqual([])
})

test('kinds without end share one place', () => {
  const repeats = new Repeats(1)
  for (let i = 0; i < 5000; i++) repeats.take(`kind ${i}`, 0)
  expect(repeats.due()).toEqual([{ kind: 'others', more: 3999 }])
})
