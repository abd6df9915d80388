/** Where tests run: when one fails, what the processes it has started said last is shown while they are still there. */
import { TestEnvironment } from 'jest-environment-node'
import { lastWords } from './last-words.ts'

export default class extends TestEnvironment {
  /** Called by jest at every step. */
  handleTestEvent({ name }: { readonly name: string }): void {
    if (name === 'test_fn_failure' || name === 'hook_failure') process.stderr.write(lastWords(this.global))
  }
}
