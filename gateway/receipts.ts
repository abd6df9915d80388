/**
 * Delivery receipts into the topic `receipts`, for clients of groups that ask for them (docs/decisions/0024-receipts.md). Gathered and written many at a
 * time; deliveries never wait for them: what finds no room is lost, counted, and the number stands in the next record.
 */
import type { Append, Appended } from '../log/log.ts'
import { reasonName } from '../mqtt/reason-code.ts'
import type { Receiver } from '../proto/frames.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { Receipt } from '../schemas/evidence-records.ts'

export interface ReceiptsOptions {
  readonly topic: string
  readonly gateway: string
  now(): number
  /** Receipts that are gathered, or on their way to the log. */
  waitingMax(): number
  /** Receipts are not worth what clients wait for: none is taken while the log is full. */
  isLogFull(): boolean
  append(record: Append, done: Appended): void
  readonly metrics: { reached(limit: 'RECEIPTS_WAITING_MAX'): void; receipts(outcome: 'written' | 'lost', count: number): void }
}

/** What a receipt has to tell of a message. */
export interface ReceiptedMessage {
  readonly messageId: Buffer
  /** Its place in `messages`; -1 where it came as a retained one. */
  readonly partition: number
  readonly offset: number
}

/** A record is written with so many receipts, or bytes of them. */
const receiptsPerRecord = 500
const bytesPerRecord = 128 * 1024
/** Bytes of a receipt besides its client id. */
const receiptSize = 64
/** Or after this long, ms. */
const gatherMs = 100

interface Batch {
  receipts: Receipt[]
  bytes: number
  lost: number
}

export class Receipts {
  readonly #options: ReceiptsOptions
  readonly #batches = new Map<number, Batch>()
  /** Gathered, or on their way. */
  #waiting = 0
  #timer: NodeJS.Timeout | null = null

  constructor(options: ReceiptsOptions) {
    this.#options = options
  }

  /** `shard`: of the client. */
  add(shard: number, receipt: Omit<Receipt, 'at'>): void {
    const { now, waitingMax, isLogFull, metrics } = this.#options
    const batch = this.#batches.get(shard) ?? { receipts: [], bytes: 0, lost: 0 }
    this.#batches.set(shard, batch)
    const isFull = this.#waiting >= waitingMax()
    if (isFull || isLogFull()) {
      if (isFull) metrics.reached('RECEIPTS_WAITING_MAX')
      metrics.receipts('lost', 1)
      batch.lost++
      this.#flushSoon()
      return
    }
    this.#waiting++
    batch.receipts.push({ ...receipt, at: now() })
    batch.bytes += receiptSize + receipt.clientId.length * 3
    if (batch.receipts.length >= receiptsPerRecord || batch.bytes >= bytesPerRecord) this.#write(shard, batch)
    else this.#flushSoon()
  }

  /** Writes what was gathered. */
  flush(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    for (const [shard, batch] of this.#batches) this.#write(shard, batch)
  }

  #flushSoon(): void {
    this.#timer ??= setTimeout(() => this.flush(), gatherMs).unref()
  }

  #write(shard: number, { receipts, lost }: Batch): void {
    const { topic, gateway, now, isLogFull, append, metrics } = this.#options
    // How many were lost is told with the next one that finds room.
    if (receipts.length === 0 && isLogFull()) return
    this.#batches.delete(shard)
    const value = encodeRecord('DeliveryReceipts', { shard, gateway, lost, receipts })
    append({ topic, partition: shard, key: null, value, timestamp: now() }, (error) => {
      this.#waiting -= receipts.length
      metrics.receipts(error ? 'lost' : 'written', receipts.length)
    })
  }
}

/** The receipts of one connection: which message each packet id stands for, as many as its window. */
export class ConnectionReceipts {
  readonly #receipts: Pick<Receipts, 'add'>
  readonly #shard: number
  readonly #clientId: string
  /** By packet id. */
  readonly #inFlight = new Map<number, Omit<Receipt, 'at'>>()

  constructor(receipts: Pick<Receipts, 'add'>, shard: number, clientId: string) {
    this.#receipts = receipts
    this.#shard = shard
    this.#clientId = clientId
  }

  /** Written to the connection; at QoS 0 under no packet id. */
  sent(message: ReceiptedMessage, receiver: Pick<Receiver, 'qos'>, packetId: number): void {
    const receipt = this.#of(message, receiver, 'sent', '')
    this.#receipts.add(this.#shard, receipt)
    if (packetId > 0) this.#inFlight.set(packetId, receipt)
  }

  /** `reasonCode`: from 0x80 on the client refuses the message, which MQTT does not send again. */
  acknowledged(packetId: number, reasonCode: number): void {
    const sent = this.#inFlight.get(packetId)
    if (!sent || !this.#inFlight.delete(packetId)) return
    this.#receipts.add(this.#shard, { ...sent, outcome: 'acknowledged', reason: reasonCode >= 0x80 ? reasonName(reasonCode) : '' })
  }

  dropped(message: ReceiptedMessage, receiver: Pick<Receiver, 'qos'>, reason: string): void {
    this.#receipts.add(this.#shard, this.#of(message, receiver, 'dropped', reason))
  }

  #of({ messageId, partition, offset }: ReceiptedMessage, { qos }: Pick<Receiver, 'qos'>, outcome: string, reason: string): Omit<Receipt, 'at'> {
    // A copy: the id is a view into what the router sent.
    return { clientId: this.#clientId, messageId: Buffer.from(messageId), source: partition, offset: partition < 0 ? -1 : offset, qos, outcome, reason }
  }
}
