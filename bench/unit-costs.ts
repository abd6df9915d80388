/**
 * What one message costs at each step of its way, in CPU time, garbage collection included: without sockets, Kafka and gRPC, and
 * so hardly moved by what else the machine does. Before and after a change:
 *
 *   npm run bench:units
 */
import { Delivering } from '../gateway/delivering.ts'
import { Outgoing, plainOrigin } from '../gateway/outgoing.ts'
import { Output } from '../gateway/output.ts'
import { type PublishHost, Publishing } from '../gateway/publishing.ts'
import { ClientRates, NamespaceRates } from '../gateway/rates.ts'
import { BatchWriter, readBatches } from '../log/kafka/record-batch.ts'
import { type Appended, type LogRecord, noHeaders, type Stretch } from '../log/log.ts'
import type { Session, Subscription } from '../model/session.ts'
import type { PublishPacket } from '../mqtt/packet.ts'
import { Parser } from '../mqtt/parser.ts'
import { FrameWriter, readFrames } from '../proto/frame-codec.ts'
import { SharedLanes } from '../router/shared-lanes.ts'
import { SourceShard } from '../router/source-shard.ts'
import { SubscriptionTrie } from '../router/subscription-trie.ts'
import { encodePublish } from '../schemas/message-record.ts'
import { clientOf, config, metricsOf } from '../test/unit/gateway/client-parts.ts'
import { attachment, sessionOf } from '../test/unit/router/sessions.ts'
import * as mqtt from '../test/wire/bytes.ts'

const clients = 50
/** Messages of one client that lie beside each other, in a socket's read and in the log. */
const burst = 10
const perBatch = clients * burst
const payload = Buffer.alloc(256, 0x2e)
const topicOf = (client: number): string => `bench/0123abcd/${client}`

/** Microseconds of CPU for each message; the median of `rounds`. */
function measure(rounds: number, batches: number, run: () => unknown): number {
  const costs = Array.from({ length: rounds }, () => {
    const before = process.cpuUsage()
    for (let i = 0; i < batches; i++) run()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / (batches * perBatch)
  })
  return costs.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] as number
}

export interface UnitCost {
  readonly step: string
  /** Microseconds of CPU a message. */
  readonly each: number
}

/** The gateway's way in: from a socket's bytes into a batch for Kafka, and the acknowledgement. */
function publishing(version: 4 | 5) {
  let batch = new BatchWriter(Buffer.allocUnsafe(512 * 1024))
  const slab = batch.buffer
  const answers: Appended[] = []
  const messageId = Buffer.alloc(16)
  const metrics = metricsOf()
  const host: PublishHost = {
    config,
    metrics,
    registryVersion: 1,
    logIsFull: false,
    partitionOf: () => 0,
    access: { mayPublish: () => 'allowed' },
    now: Date.now,
    sealingReadiness: () => 'ready',
    messages: {
      append(identity, topic, packet, done) {
        const receivedAt = Date.now()
        const accepted = { messageId, ...identity, receivedAt, gateway: 'gateway', protocolVersion: version }
        batch.add(topic.key, encodePublish(accepted, topic.name, packet), receivedAt, noHeaders)
        answers.push(done)
        return receivedAt
      },
    },
  }
  const halves = Array.from({ length: clients }, (_, client) => {
    const output = new Output()
    const owner = { principal: { authenticationName: `device-${client}` }, onRefused() {}, onReleased() {}, onAcknowledged() {}, onPublishLost() {} }
    const { announced, ...rest } = clientOf(version)
    const known = { ...rest, clientId: `device-${client}`, announced: { ...announced, receiveMaximum: 65_535 } }
    const half = new Publishing(host, owner as never, known, { id: client, shard: 0, isPresent: false, uses: null }, output)
    const parser = new Parser({ version, maximumPacketSize: 1 << 20 })
    const bytes = Buffer.concat(Array.from({ length: burst }, (_, i) => mqtt.publish({ version, topic: topicOf(client), payload, qos: 1, id: i + 1 })))
    return { output, half, parser, bytes }
  })
  /** Everybody's messages once; the batch as it goes to Kafka. */
  return (): Buffer => {
    batch = new BatchWriter(slab)
    for (const { half, parser, bytes } of halves) parser.parse(bytes, (packet) => void half.receive(packet as PublishPacket))
    const sealed = batch.seal(1n, 0, 0)
    for (const done of answers) done(null, 0)
    answers.length = 0
    for (const { output } of halves) output.take()
    return sealed
  }
}

/** The router's way: from a fetched batch to frames for gateways. */
function matching(set: Buffer) {
  const trie = new SubscriptionTrie()
  for (let client = 0; client < clients; client++) {
    const session: Session = sessionOf(`receiver-${client}`, { id: client, expiryInterval: 0, attached: attachment(client) })
    const subscription = {
      filter: topicOf(client),
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionIdentifier: null,
      replay: null,
    } as unknown as Subscription
    trie.add(session, subscription)
  }
  const writer = new FrameWriter()
  let frames: Buffer[] = []
  const link = {
    direct(frame: Parameters<FrameWriter['write']>[0], done: () => void): void {
      writer.write(frame)
      done()
    },
  }
  let offset = 0
  const shard = new SourceShard({
    shard: 0,
    term: 1,
    position: 0,
    backlogEnd: 0,
    trie,
    retained: { take: () => false, isBusy: false, hurry() {} },
    choice: undefined as never,
    room: undefined as never,
    lanes: new SharedLanes({ behind: [] } as never),
    recorded: new Map(),
    shardOf: () => 0,
    gateways: { get: () => link } as never,
    appender: undefined as never,
    inboxTopic: 'inbox',
    now: Date.now,
    held: [],
    repeatsRemembered: 16,
    isOver: () => true,
    index() {},
    onRepeat() {},
    sessionsPosition: () => 0,
    onUnreadable(_: number, error: Error) {
      throw error
    },
    onMatched() {},
    tracing: null,
    onRefused() {},
    onProgress() {},
  })
  return (): readonly Buffer[] => {
    const records: LogRecord[] = []
    set.writeBigInt64BE(BigInt(offset), 0)
    const { nextOffset } = readBatches(set, 'messages', 0, offset, records)
    offset = nextOffset
    frames = []
    shard.take({ topic: 'messages', partition: 0, records, nextOffset, endOffset: nextOffset } as Stretch)
    frames.push(writer.take())
    return frames
  }
}

/** The gateway's way out: from a router's frames to what the sockets are given, and the receivers' acknowledgements. */
function delivering(version: 4 | 5, batches: readonly Buffer[]) {
  const metrics = metricsOf()
  const halves = Array.from({ length: clients }, () => {
    const output = new Output()
    const owner = { waitingBytes: 0, awaitsSuback: false, recordsGiven: 0, recordsAnswered: 0, onOutput() {}, onDone() {}, onOverflow() {}, onThrottled() {} }
    const rates = new ClientRates(new NamespaceRates({ config, metrics, now: Date.now }))
    return { output, half: new Delivering(config, metrics, owner, clientOf(version, 65_535), output, rates, true), next: 1 }
  })
  return (): void => {
    const now = Date.now()
    let delivered = 0
    for (const batch of batches) {
      for (const frame of readFrames(batch)) {
        if (frame.kind !== 'direct') continue
        for (const { value, source, offset, receivers } of frame.messages) {
          const outgoing = new Outgoing(value, plainOrigin(source, offset))
          for (const receiver of receivers) halves[receiver.connection]?.half.deliver(outgoing, receiver, now)
          delivered += receivers.length
        }
      }
    }
    if (delivered !== perBatch) throw new Error(`${delivered} of ${perBatch} messages came through`)
    for (const each of halves) {
      each.output.take()
      for (let i = 0; i < burst; i++) {
        each.half.acknowledge(each.next, 0, now)
        each.next = (each.next % 65_535) + 1
      }
    }
  }
}

export function measureUnitCosts(rounds = 9, batches = 400): readonly UnitCost[] {
  const ways = ([4, 5] as const).flatMap((version) => {
    const publish = publishing(version)
    const match = matching(Buffer.from(publish()))
    const frames = match().map((each) => Buffer.from(each))
    const name = version === 4 ? 'MQTT 3.1.1' : 'MQTT 5'
    const deliver = delivering(version, frames)
    return [
      { step: `gateway: from the socket to the log and PUBACK, ${name}`, run: publish },
      ...(version === 4 ? [{ step: 'router: from the log to its gateway', run: match }] : []),
      { step: `gateway: from its router to the socket, ${name}`, run: deliver },
    ]
  })
  for (const { run } of ways) measure(1, batches, run)
  return ways.map(({ step, run }) => ({ step, each: measure(rounds, batches, run) }))
}

const unitCostsText = (costs: readonly UnitCost[]): string => costs.map(({ step, each }) => `${each.toFixed(2).padStart(6)} µs  ${step}`).join('\n')

if (import.meta.main) process.stdout.write(`${unitCostsText(measureUnitCosts())}\n`)
