/** Bytes that are not a record of ours: truncated, malformed, or of another schema. */
export class RecordError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RecordError'
  }
}

/** A record's schema is none of this version's. */
export class UnknownSchema extends RecordError {
  /** The fingerprint as 16 hex digits, most significant first. */
  readonly fingerprint: string
  constructor(fingerprint: string) {
    super(`no schema of this version has the fingerprint ${fingerprint}`)
    this.name = 'UnknownSchema'
    this.fingerprint = fingerprint
  }
}
