import type { AppendError } from '../log/log.ts'

type Answered = (error: AppendError | null) => void

/** How often a record that has to be in the log is appended. */
const attemptsMax = 3

/** Appends again what the log did not take, unless `isOver`. `done` hears the last answer. For records that do no harm twice. */
export function insist(append: (done: Answered) => void, isOver: () => boolean, done: Answered, attempt = 1): void {
  append((error) => {
    if (error && attempt < attemptsMax && !isOver()) insist(append, isOver, done, attempt + 1)
    else done(error)
  })
}
