import { ReasonCode } from '../mqtt/reason-code.ts'
import { OperationError } from '../telemetry/dimensions.ts'

const errorOfCode = new Map<number, OperationError>([
  [ReasonCode.BadUserNameOrPassword, OperationError.AuthenticationError],
  [ReasonCode.BadAuthenticationMethod, OperationError.AuthenticationError],
  [ReasonCode.NotAuthorized, OperationError.AuthorizationError],
  [ReasonCode.QuotaExceeded, OperationError.QuotaExceeded],
  [ReasonCode.ConnectionRateExceeded, OperationError.QuotaExceeded],
  [ReasonCode.ReceiveMaximumExceeded, OperationError.QuotaExceeded],
  [ReasonCode.UnspecifiedError, OperationError.ServiceError],
  [ReasonCode.ServerUnavailable, OperationError.ServiceError],
  [ReasonCode.ServerBusy, OperationError.ServiceError],
  [ReasonCode.ServerShuttingDown, OperationError.ServiceError],
  [ReasonCode.UseAnotherServer, OperationError.ServiceError],
])

/** The Error of a refusal with this reason code; what is not listed is the client's fault. */
export function errorOf(reasonCode: number): OperationError {
  return errorOfCode.get(reasonCode) ?? OperationError.ClientError
}
