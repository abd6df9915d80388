import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const project = dirname(dirname(import.meta.dirname))

export type Python = { readonly program: string } | { readonly missing: string }

/** The wheels that an example says to install, in a folder that later runs find again; or why there are none. */
export function kafkaPython(example = 'print_messages.py'): Promise<Python> {
  const text = readFileSync(join(project, 'docs/examples', example), 'utf8')
  return pythonWith(/^ {4}pip install (.+)$/m.exec(text)?.[1]?.replaceAll("'", '').split(' ') ?? [])
}

/** The same with these wheels. */
export async function pythonWith(install: readonly string[]): Promise<Python> {
  const found = await run('python3', ['--version']).catch(() => null)
  if (found === null) return { missing: 'no python3 on this machine' }
  const identity = createHash('sha256').update(`whole ${found.stdout}${install.join()}`).digest('hex').slice(0, 12)
  const folder = join(tmpdir(), `loggerhead-python-${process.getuid?.() ?? 0}-${identity}`)
  const program = join(folder, 'bin/python')
  if (existsSync(program)) return { program }
  // Made beside it and moved: two files of tests may want it at once.
  const work = mkdtempSync(`${folder}-`)
  try {
    await run('python3', ['-m', 'venv', work], { timeout: 120_000 })
    await run(join(work, 'bin/python'), ['-m', 'pip', 'install', '--quiet', '--only-binary', ':all:', ...install], { timeout: 180_000 })
    renameSync(work, folder)
    return { program }
  } catch (error) {
    rmSync(work, { recursive: true, force: true })
    if (existsSync(program)) return { program } // another one was faster
    return { missing: `pip could not install ${install.join(' and ')}: ${(error as Error).message.split('\n').slice(0, 3).join(' ')}` }
  }
}
