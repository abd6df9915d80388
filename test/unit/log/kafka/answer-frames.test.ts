import { expect, test } from '@jest/globals'
import { AnswerFrames } from '../../../../log/kafka/answer-frames.ts'

const framed = (text: string): Buffer => {
  const frame = Buffer.alloc(4 + text.length)
  frame.writeInt32BE(text.length)
  frame.write(text, 4)
  return frame
}

/** Answers as they are read in pieces of a size, each piece into the same memory. */
function read(bytes: Buffer, size: number): readonly string[] {
  const answers: Buffer[] = []
  const frames = new AnswerFrames((answer) => answers.push(answer))
  const memory = Buffer.alloc(size)
  for (let at = 0; at < bytes.length; at += size) frames.take(memory.subarray(0, bytes.copy(memory, 0, at, at + size)))
  return answers.map((answer) => `${answer.readInt32BE()} ${answer.toString('latin1', 4)}`)
}

test('answers are the same in whatever pieces they are read, and keep nothing of the memory that they were read into', () => {
  const texts = ['0000', 'one'.padEnd(300, '.'), '2222', 'three'.padEnd(70_000, '-')]
  const bytes = Buffer.concat(texts.map(framed))
  for (const size of [1, 2, 3, 5, 7, 64, 308, 65_536, bytes.length]) expect(read(bytes, size)).toEqual(texts.map((text) => `${text.length} ${text}`))
})

test('an answer that is not whole yet is not handed on', () => {
  expect(read(framed('whole').subarray(0, 8), 3)).toEqual([])
  expect(read(Buffer.from([0, 0, 0]), 3)).toEqual([])
})

test.each([
  ['HTTP/1.1', 'an answer of 1213486160 bytes is announced'],
  ['\x00\x00\x00\x03abc', 'an answer of 3 bytes is announced'],
  ['\xff\xff\xff\xff', 'an answer of -1 bytes is announced'],
])('what begins with %j is no answer of Kafka', (text, message) => {
  expect(() => read(Buffer.from(text, 'latin1'), 64)).toThrow(message)
})
