/** What receipts tell of one message and one client. */
import type { Receipt } from '../schemas/evidence-records.ts'
import type { Place } from './records.ts'

export interface ReceiptTold extends Pick<Receipt, 'outcome' | 'reason' | 'qos'> {
  readonly place: Place
}
