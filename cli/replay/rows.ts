/** A replayed message as a row: the same names in CSV, Parquet and JSON. */
import { type HistoryLine, payloadOfLine } from '../../history/history-line.ts'

/** The columns of CSV, in their order. */
const csvColumns = [
  'position',
  'messageId',
  'receivedAt',
  'topic',
  'qos',
  'retain',
  'clientId',
  'authenticationName',
  'gateway',
  'protocolVersion',
  'messageExpiryInterval',
  'payloadFormatIndicator',
  'contentType',
  'responseTopic',
  'correlationDataBase64',
  'userProperties',
  'payload',
  'payloadBase64',
  'erased',
] as const satisfies readonly (keyof HistoryLine)[]

const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** RFC 4180 but for its line ends, which are single newlines. */
const csvLine = (cells: readonly string[]): string => `${cells.map(quoted).join(',')}\n`

export const csvHeader = csvLine(csvColumns)

const csvCell = (value: unknown): string => (value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value))

/** What a message does not have is an empty cell; user properties are JSON. */
export const csvRow = (line: HistoryLine): string => csvLine(csvColumns.map((name) => csvCell(line[name])))

/** The line as the HTTP API has it, without its cursor: that is for who reads on, and here that is the cursor file. */
export function jsonRow({ cursor: _, ...message }: HistoryLine): string {
  return `${JSON.stringify(message)}\n`
}

/** A column of Parquet: what of a message stands there, null for what it does not have. */
export interface ParquetColumn {
  readonly name: string
  readonly type: 'STRING' | 'INT32' | 'INT64' | 'BOOLEAN' | 'TIMESTAMP' | 'BYTE_ARRAY' | 'JSON'
  readonly nullable: boolean
  of(line: HistoryLine): unknown
}

const required = (name: string, type: ParquetColumn['type'], of: ParquetColumn['of']): ParquetColumn => ({ name, type, nullable: false, of })
const optional = (name: string, type: ParquetColumn['type'], of: ParquetColumn['of']): ParquetColumn => ({
  name,
  type,
  nullable: true,
  of: (line) => of(line) ?? null,
})
const part = (position: string, at: 0 | 1): string => position.split(':')[at] as string

/** Bytes are bytes here, so that payloads need one column only. */
export const parquetColumns: readonly ParquetColumn[] = [
  required('partition', 'INT32', ({ position }) => Number(part(position, 0))),
  required('offset', 'INT64', ({ position }) => BigInt(part(position, 1))),
  required('messageId', 'STRING', ({ messageId }) => messageId),
  required('receivedAt', 'TIMESTAMP', ({ receivedAt }) => new Date(receivedAt)),
  required('topic', 'STRING', ({ topic }) => topic),
  required('qos', 'INT32', ({ qos }) => qos),
  required('retain', 'BOOLEAN', ({ retain }) => retain),
  required('clientId', 'STRING', ({ clientId }) => clientId),
  required('authenticationName', 'STRING', ({ authenticationName }) => authenticationName),
  required('gateway', 'STRING', ({ gateway }) => gateway),
  required('protocolVersion', 'INT32', ({ protocolVersion }) => protocolVersion),
  optional('messageExpiryInterval', 'INT64', ({ messageExpiryInterval: seconds }) => (seconds === undefined ? null : BigInt(seconds))),
  optional('payloadFormatIndicator', 'INT32', ({ payloadFormatIndicator }) => payloadFormatIndicator),
  optional('contentType', 'STRING', ({ contentType }) => contentType),
  optional('responseTopic', 'STRING', ({ responseTopic }) => responseTopic),
  optional('correlationData', 'BYTE_ARRAY', ({ correlationDataBase64: text }) => (text === undefined ? null : Buffer.from(text, 'base64'))),
  optional('userProperties', 'JSON', ({ userProperties }) => userProperties),
  required('payload', 'BYTE_ARRAY', payloadOfLine),
  // An empty payload is another thing.
  required('erased', 'BOOLEAN', ({ erased = false }) => erased),
]
