import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { deadLetterFolder } from '../../../../router/push/dead-letter-folder.ts'
import type { DeadLetterSink } from '../../../../router/push/dead-letter-writer.ts'

const write = (sink: DeadLetterSink, documents: readonly object[]) => sink.write(documents.map((document) => sink.encode(document)))

test('PU-13: dead letters are a file of their own below namespace, topic, subscription and hour', async () => {
  const root = await mkdtemp(join(tmpdir(), 'loggerhead-dead-letters-'))
  try {
    const now = () => Date.parse('2026-09-03T02:59:59Z')
    const sink = deadLetterFolder({ root, name: 'ops', namespace: 'default', topic: 'alerts', subscription: 'pager', now })
    await write(sink, [{ event: { id: '1' } }, { event: { id: '2' } }])
    await write(sink, [{ event: { id: '3' } }])
    const folder = join(root, 'ops/default/alerts/pager/2026/9/3/2')
    const files = await readdir(folder)
    expect(files.every((file) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json$/.test(file))).toBe(true)
    const contents = await Promise.all(files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as object[]))
    expect(contents.sort((a, b) => b.length - a.length)).toEqual([[{ event: { id: '1' } }, { event: { id: '2' } }], [{ event: { id: '3' } }]])
  } finally {
    await rm(root, { recursive: true })
  }
})

test('dead letters are read again, each file until they are no more dead', async () => {
  const root = await mkdtemp(join(tmpdir(), 'loggerhead-dead-letters-'))
  const read = async (sinceMs = 0) => {
    const found: object[] = []
    for await (const { sources, done } of sink.read(sinceMs)) {
      found.push(...sources)
      if (sinceMs === 1) await done()
    }
    return found
  }
  const sink = deadLetterFolder({ root, name: 'ops', namespace: 'default', topic: 'alerts', subscription: 'pager', now: Date.now })
  try {
    expect(await read()).toEqual([])
    await write(sink, [{ source: { partition: 1, offset: 2 } }, { source: 'not ours' }, {}])
    expect(await read(Date.now() + 60_000)).toEqual([])
    expect(await read()).toEqual([{ partition: 1, offset: 2 }])
    await read(1)
    expect(await read()).toEqual([])
  } finally {
    await rm(root, { recursive: true })
  }
})

test('without DEAD_LETTER_FOLDER nothing is written anywhere', async () => {
  const sink = deadLetterFolder({ root: '', name: 'ops', namespace: 'n', topic: 't', subscription: 's', now: () => 0 })
  await expect(write(sink, [{}])).rejects.toThrow('DEAD_LETTER_FOLDER is not set')
})

test('a folder that cannot be written is said, and leaves nothing half', async () => {
  const sink = deadLetterFolder({ root: '/dev/null', name: 'ops', namespace: 'n', topic: 't', subscription: 's', now: () => 0 })
  await expect(write(sink, [{}])).rejects.toThrow('ENOTDIR')
})
