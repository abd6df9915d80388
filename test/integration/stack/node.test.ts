import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from '@jest/globals'
import { fetchArtifacts } from '../../../stack/kafka/artifacts.ts'
import { prepareNode } from '../../../stack/kafka/node.ts'

const project = dirname(dirname(dirname(import.meta.dirname)))

test('a cluster id that begins with a hyphen is no option of Kafka’s own tool', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'loggerhead-node-'))
  try {
    await fetchArtifacts({ project, say: () => {} })
    await prepareNode({
      project,
      java: 'java',
      folder,
      host: '127.0.0.1',
      port: 1,
      controllerPort: 2,
      flushEveryAppend: false,
      clusterId: '-Ab3dEfGhIjKlMnOpQrStU',
    })
    expect(await readFile(join(folder, 'log/meta.properties'), 'utf8')).toContain('cluster.id=-Ab3dEfGhIjKlMnOpQrStU')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}, 120_000)
