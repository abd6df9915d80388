/** Whether somebody listens at an address, as a connection tells: those who say nothing may be there all the same. */
import { connect } from 'node:net'

/** For a connection, ms. */
const answerMs = 2_000
/** What says that nobody is there: the host refuses, or there is no such host. A network that does not get there says nothing of it. */
const absences: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ENOTFOUND'])

export const saysNobody = ({ code }: NodeJS.ErrnoException): boolean => absences.has(code)

/** Whether something may take connections at host:port. */
export function answers(address: string): Promise<boolean> {
  const [, host = '', port = ''] = /^\[?(.+?)\]?:(\d+)$/.exec(address) ?? []
  if (host === '') return Promise.resolve(false)
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), timeout: answerMs })
    const end = (isThere: boolean): void => {
      socket.destroy()
      resolve(isThere)
    }
    socket.once('connect', () => end(true)).once('timeout', () => end(true))
    socket.once('error', (error) => end(!saysNobody(error)))
  })
}
