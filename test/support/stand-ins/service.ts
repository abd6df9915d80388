import { writeSync } from 'node:fs'
import { createServer } from 'node:http'

/**
 * A service that only keeps the supervisor's contract: says when it is ready, ends on SIGTERM and with its channel.
 * STAND_IN names how one of them misbehaves: `door=fails`, `gateway=ignores SIGTERM`, `router=grows`.
 */
export function standIn(name: string, port: number): void {
  const [who, how] = (process.env.STAND_IN ?? '').split('=')
  const misbehaves = who === name ? how : undefined
  if (misbehaves === 'fails') {
    writeSync(2, 'SettingError: TLS_CERT: is no certificate\n')
    process.exit(1)
  }
  process.on('SIGTERM', () => {
    if (misbehaves !== 'ignores SIGTERM') process.exit(0)
  })
  process.on('disconnect', () => {
    if (misbehaves !== 'ignores SIGTERM') process.exit(0)
  })
  const server = createServer((_request, response) => response.end('ok'))
  // Every look at it takes memory that is never given back.
  const taken: number[][] = []
  if (misbehaves === 'grows') server.on('request', () => taken.push(...Array.from({ length: 200 }, () => new Array<number>(100_000).fill(0.5))))
  server.listen(port, '127.0.0.1', () => process.send?.({ ready: true, ports: { [name]: port } }))
}
