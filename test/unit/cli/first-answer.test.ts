import { expect, test } from '@jest/globals'
import { Failure } from '../../../cli/failure.ts'
import { firstAnswer } from '../../../cli/first-answer.ts'
import type { LogHealth } from '../../../log/log.ts'

const of = (health: LogHealth) => ({ health: () => health })

test('a Kafka that does not answer ends a command, with what the connection came to', async () => {
  const never = new Promise<never>(() => {})
  const down = of({ reachable: false, unreachableMs: 9, reason: 'connect ECONNREFUSED' } as LogHealth)
  await expect(firstAnswer(down, never, '--to b:9092', 1)).rejects.toThrow(new Failure('--to b:9092 does not answer: connect ECONNREFUSED'))
  await expect(firstAnswer(of({} as LogHealth), never, 'Kafka', 1)).rejects.toThrow('Kafka does not answer: nothing came within 1 ms')
  await expect(firstAnswer(down, Promise.resolve(7), 'Kafka')).resolves.toBe(7)
  await expect(firstAnswer(down, Promise.reject(new RangeError('no')), 'Kafka')).rejects.toThrow(RangeError)
})
