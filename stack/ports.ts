import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

/** Whether a server can listen there now. */
function isFree(port: number, host: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, ...(host !== undefined && { host }), exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** Whether something answers on loopback: a server on every address lets another one bind loopback beside it. */
function isAnswered(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 500 })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

/** A port that is set from outside is taken by another program. */
export class PortInUse extends Error {
  constructor(variable: string, port: number) {
    super(`${variable}: port ${port} is in use by another program. Stop it, or set ${variable} to another port.`)
    this.name = 'PortInUse'
  }
}

/** Throws PortInUse for the first that is taken. */
export async function checkFree(ports: readonly (readonly [variable: string, port: number])[]): Promise<void> {
  for (const [variable, port] of ports) {
    if ((await isAnswered(port)) || !(await isFree(port, undefined))) throw new PortInUse(variable, port)
  }
}

/** For so long at least a port belongs to who found it, ms: nothing listens there before its service has started. */
const claimMs = 120_000

/** False when another process of this user has claimed the port. A claim is an empty file, named by the port and the stretch of time it was made in. */
function claim(port: number): boolean {
  const now = Math.floor(Date.now() / claimMs)
  try {
    const folder = join(tmpdir(), `loggerhead-ports-${userInfo().uid}`)
    mkdirSync(folder, { recursive: true })
    const claims = readdirSync(folder)
    for (const each of claims) if (Number(each.split('.')[1]) < now - 1) rmSync(join(folder, each), { force: true })
    if (claims.includes(`${port}.${now - 1}`)) return false
    writeFileSync(join(folder, `${port}.${now}`), '', { flag: 'wx' })
    return true
  } catch (error) {
    // A folder that cannot be written: ports are looked for without claims.
    return (error as NodeJS.ErrnoException).code !== 'EEXIST'
  }
}

/**
 * Free ports below those that the system gives to outgoing connections, so that a service which is started again finds
 * its port still free. Random, and claimed for two minutes: several stacks and test runs look for theirs at the same time.
 * `except`: ports that are free and promised, such as those this stack's own listeners are about to take. `beside`: what
 * is free and claimed too, counted from each port.
 */
export async function findFreePorts(count: number, except: readonly number[] = [], beside: readonly number[] = []): Promise<number[]> {
  const found = new Set<number>()
  for (let attempt = 0; found.size < count; attempt++) {
    if (attempt > 1_000) throw new Error(`no ${count} free ports between 20000 and 32000`)
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const all = [port, ...beside.map((distance) => port + distance)]
    if (all.some((each) => except.includes(each))) continue
    // Claimed first: to look whether another's is free would take it in the moment in which its service may listen.
    if (all.map(claim).every(Boolean) && (await Promise.all(all.map((each) => isFree(each, undefined)))).every(Boolean)) found.add(port)
  }
  return [...found]
}
