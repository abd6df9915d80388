/** Dead letters as files in a folder, laid out as Event Grid lays out blobs (PU-13). */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { deadLetterPath } from '../../events/dead-letter.ts'
import { joinedLetters, sourcesIn } from './dead-letter-document.ts'
import type { DeadLetterSink } from './dead-letter-writer.ts'

export interface DeadLetterFolderOptions {
  /** All dead letters of the deployment stand below it. */
  readonly root: string
  /** The folder below it that the subscription names. */
  readonly name: string
  readonly namespace: string
  readonly topic: string
  readonly subscription: string
  readonly now: () => number
}

/** One file for what is given up at a time: a JSON array. It is there whole or not at all, and on the disk. */
export function deadLetterFolder({ root, name, namespace, topic, subscription, now }: DeadLetterFolderOptions): DeadLetterSink {
  return {
    encode: (document) => ({ body: Buffer.from(JSON.stringify(document)), source: undefined }),

    async write(letters) {
      // They wait, and the log says so, until it is set or their time is over.
      if (root === '') throw new Error('DEAD_LETTER_FOLDER is not set')
      const path = join(root, name, deadLetterPath(namespace, topic, subscription, now(), randomUUID()))
      const folder = dirname(path)
      await mkdir(folder, { recursive: true })
      const unfinished = `${path}.unfinished`
      try {
        const file = await open(unfinished, 'wx', 0o640)
        try {
          await file.writeFile(joinedLetters(letters))
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(unfinished, path)
        const entry = await open(folder, 'r')
        await entry.sync().finally(() => entry.close())
      } catch (error) {
        await rm(unfinished, { force: true })
        throw error
      }
      return letters.map(() => undefined)
    },

    async *read(sinceMs) {
      if (root === '') return
      const folder = join(root, name, namespace, topic, subscription)
      const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return []
        throw error
      })
      for (const entry of entries) {
        const path = join(entry.parentPath, entry.name)
        if (!entry.isFile() || !entry.name.endsWith('.json') || (await stat(path)).mtimeMs < sinceMs) continue
        yield { sources: sourcesIn(await readFile(path, 'utf8')), done: () => rename(path, `${path}.redriven`) }
      }
    },
  }
}
