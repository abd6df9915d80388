/** Event Grid's Error and ErrorType of what failed at a namespace topic or an event subscription. */
import { STATUS_CODES } from 'node:http'

export interface EventFailure {
  /** Whose it is to mend: one of Event Grid's five values. */
  readonly error: 'QuotaExceeded' | 'AuthenticationError' | 'AuthorizationError' | 'ClientError' | 'ServiceError'
  /** What it is, in one word. */
  readonly error_type: string
}

/** Of a request by the status of its answer. `isKnown`: the caller may, so that 403 is about what was asked. */
export function failureOf(status: number, isKnown: boolean): EventFailure {
  const error_type = (STATUS_CODES[status] ?? 'Error').replaceAll(/[^A-Za-z]/g, '')
  if (status === 401) return { error: 'AuthenticationError', error_type }
  if (status === 403) return { error: isKnown ? 'QuotaExceeded' : 'AuthorizationError', error_type }
  return { error: status < 500 ? 'ClientError' : 'ServiceError', error_type }
}
