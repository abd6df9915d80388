import { type ChildProcess, spawn } from 'node:child_process'

/**
 * Ends the stack's processes when the supervisor is gone, however it went: a shell waits on a pipe from it, and the end
 * of the pipe is the sign. Told of every process that starts and ends, so that an id that another program has got
 * since is never among those it ends.
 */
const script = `
pids=' '
atEnd=':'
while read -r verb rest; do
  case "$verb" in
    add) pids="$pids$rest " ;;
    drop) kept=' '; for pid in $pids; do [ "$pid" = "$rest" ] || kept="$kept$pid "; done; pids="$kept" ;;
    atEnd) atEnd="$rest" ;;
  esac
done
[ -z "\${pids## }" ] || kill -TERM $pids 2>/dev/null
eval "$atEnd" >/dev/null 2>&1 &
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
  alive=' '
  for pid in $pids; do kill -0 "$pid" 2>/dev/null && alive="$alive$pid "; done
  pids="$alive"
  [ -z "\${pids## }" ] && exit 0
  sleep 0.2
done
kill -KILL $pids 2>/dev/null
`

export class Guard {
  #shell: ChildProcess | undefined
  readonly #pids = new Set<number>()
  #atEnd: string | undefined

  constructor() {
    this.#start()
  }

  #start(): void {
    const shell = spawn('/bin/sh', ['-c', script, 'loggerhead-guard'], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    shell.stdin.on('error', () => {}) // it is gone: the exit below starts another
    shell.on('error', () => {})
    shell.on('exit', () => {
      if (this.#shell === shell) this.#start()
    })
    shell.unref()
    this.#shell = shell
    for (const pid of this.#pids) this.#tell(`add ${pid}`)
    if (this.#atEnd !== undefined) this.#tell(`atEnd ${this.#atEnd}`)
  }

  #tell(line: string): void {
    this.#shell?.stdin?.write(`${line}\n`)
  }

  add(pid: number): void {
    this.#pids.add(pid)
    this.#tell(`add ${pid}`)
  }

  drop(pid: number): void {
    this.#pids.delete(pid)
    this.#tell(`drop ${pid}`)
  }

  /** A shell command to run as well: ends what is no process of ours, a container. */
  atEnd(command: string): void {
    this.#atEnd = command
    this.#tell(`atEnd ${command}`)
  }

  /** Orderly: everything has ended already. */
  close(): void {
    const shell = this.#shell
    this.#shell = undefined
    shell?.stdin?.end()
  }
}
