/** What counting and deciding about traces costs a publish, in nanoseconds: `./node_modules/.bin/loggerhead-node bench/counting.ts`. */
import { Counter, Registry } from 'prom-client'
import { messageKind, OperationCounts } from '../gateway/operation-counts.ts'
import { MessageTraces } from '../telemetry/message-traces.ts'

const rounds = 5_000_000
const counts = new OperationCounts(new Registry(), () => ({ bytesIn: 0, bytesOut: 0 }), Date.now)
const labelled = new Counter({ name: 'x_total', help: 'x', labelNames: ['qos', 'protocol', 'retain'], registers: [new Registry()] })
const traces = new MessageTraces(Buffer.from('key'), 1000)
const record = { messageId: Buffer.alloc(16, 7), receivedAt: Date.now() }
const receivedAt = Date.now()

const subjects: readonly (readonly [what: string, rounds: number, run: (i: number) => void])[] = [
  ['nothing: the loop', rounds, () => {}],
  ['a publish at QoS 0 (took)', rounds, (i) => counts.took(messageKind(1, 0, (i & 1) === 1))],
  ['a publish at QoS 1, its latency and its clock (stored)', rounds, (i) => counts.stored(messageKind(1, 1, (i & 1) === 1), receivedAt)],
  ['a delivery', rounds, () => counts.delivered(messageKind(1, 1, false))],
  ['for comparison: prom-client with three labels', rounds / 10, () => labelled.inc({ qos: '1', protocol: 'MQTT5', retain: 'false' })],
  ['whether a message is traced, where tracing is on', rounds, () => void traces.isChosen(record)],
]
for (const [what, count, run] of subjects) {
  for (let i = 0; i < count / 5; i++) run(i)
  const startedAt = process.hrtime.bigint()
  for (let i = 0; i < count; i++) run(i)
  process.stdout.write(`${(Number(process.hrtime.bigint() - startedAt) / count).toFixed(1).padStart(8)} ns  ${what}\n`)
}
