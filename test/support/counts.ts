import { stripVTControlCharacters } from 'node:util'

/** What is needed of jest's JSON report. */
export interface JestReport {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string; readonly failureMessages?: readonly string[] }[]
  }[]
}

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Titles, each with the beginning of why: whoever has the end of the output alone has the cause. */
  readonly failures: readonly string[]
  readonly skips: readonly { readonly title: string; readonly reason: string }[]
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0, failures: [], skips: [] }

/** A file that could not be run at all counts as one failed test. */
export function countsOf(report: JestReport): Counts {
  return report.testResults.map(countsOfFile).reduce(addUp, noCounts)
}

function countsOfFile({ name, status, message, assertionResults }: JestReport['testResults'][number]): Counts {
  const failures = assertionResults
    .filter((one) => one.status === 'failed')
    .map(({ fullName, failureMessages = [] }) => [fullName, ...whyOf(failureMessages)].join('\n'))
  if (status === 'failed' && failures.length === 0) failures.push(`${name}: ${message.trim().split('\n')[0]}`)
  const skips = assertionResults
    .filter((one) => ['pending', 'skipped', 'disabled', 'todo'].includes(one.status))
    .map(({ fullName }) => ({ title: fullName, reason: /[[(]skipped: ([^\])]+)[\])]/.exec(fullName)?.[1] ?? 'without a reason' }))
  return { passed: assertionResults.filter((one) => one.status === 'passed').length, failed: failures.length, skipped: skips.length, failures, skips }
}

const linesOfWhy = 30

function whyOf(messages: readonly string[]): readonly string[] {
  const lines = stripVTControlCharacters(messages.join('\n')).split('\n')
  return lines
    .filter((line) => line.trim() !== '' && !/node_modules/.test(line))
    .slice(0, linesOfWhy)
    .map((line) => `  ${line}`)
}

export function addUp(a: Counts, b: Counts): Counts {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
    failures: [...a.failures, ...b.failures],
    skips: [...a.skips, ...b.skips],
  }
}

/** The line that a CI reads. */
export function finalLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
