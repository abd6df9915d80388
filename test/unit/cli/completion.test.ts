import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'

const run = promisify(execFile)
const main = join(dirname(dirname(dirname(import.meta.dirname))), 'cli/main.ts')

async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await run(process.execPath, [main, 'complete', '--', ...words])
  return stdout.split('\n').flatMap((line) => (line === '' || line.startsWith(':') ? [] : [line.split('\t')[0]!]))
}

test.each(['bash', 'zsh', 'fish'])('completion for %s is a script that asks loggerhead itself', async (shell) => {
  const { stdout } = await run(process.execPath, [main, 'completion', shell])
  expect(stdout).toContain('loggerhead')
  expect(stdout).toContain('complete -- ')
  if (shell !== 'bash') return
  // The part of the package bash-completion that it needs, and a command of that name.
  const stand = `_get_comp_words_by_ref() { words=("\${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur="\${COMP_WORDS[COMP_CWORD]}"; prev="\${COMP_WORDS[COMP_CWORD-1]}"; }
    compopt() { :; }
    loggerhead() { '${process.execPath}' '${main}' "$@"; }`
  const asked = `COMP_WORDS=(loggerhead pki is); COMP_CWORD=2; __loggerhead_complete; echo "\${COMPREPLY[@]}"`
  expect((await run('bash', ['-c', `${stand}\n${stdout}\n${asked}`])).stdout.trim()).toMatch(/^issue/)
})

test('commands, options, options of the whole command, and what an argument or option may be', async () => {
  expect(await offered('bin')).toEqual(['bindings'])
  expect(await offered('pki', '')).toEqual(['init', 'issue', 'revoke', 'help'])
  expect(await offered('apply', '--')).toEqual(expect.arrayContaining(['--file', '--dry-run', '--prune', '--url', '--output']))
  expect(await offered('clients', 'list', '--output', '')).toEqual(['table', 'json', 'yaml'])
  expect(await offered('pki', 'issue', '--for', 's')).toEqual(['server'])
  expect(await offered('tail', 'li')).toEqual(['lifecycle'])
  expect(await offered('explain', 'c')).toEqual(['connect'])
  expect(await offered('delete', 'cl')).toEqual(['clients'])
})
