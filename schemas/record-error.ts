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

/**
 * A record in the wire format of schema registries under an id that this process was not told. No RecordError: nothing is wrong with the record, and
 * whoever passed it over would lose it.
 */
export class UnknownSchemaId extends Error {
  readonly id: number
  constructor(id: number) {
    super(`a record's schema has the id ${id}, which no schema registry has told this process: SCHEMA_REGISTRY_URL must name the one that its writer used`)
    this.name = 'UnknownSchemaId'
    this.id = id
  }
}
