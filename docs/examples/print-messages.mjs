// Prints every publish from the log, one JSON line each, and goes on with new ones as they come.
//
//   npm install kafkajs avsc          (a checkout of Loggerhead has both already)
//   node docs/examples/print-messages.mjs
//
// KAFKA_BROKERS  host:port, comma-separated   (127.0.0.1:9092)
// TOPIC          the messages of a namespace  (loggerhead.default.messages)
// SCHEMA         its Avro schema              (schemas/message.avsc)
// GROUP          consumer group; the next run with the same one goes on where this one stopped
// COUNT          stop after so many           (0: never)

import { readFileSync } from 'node:fs'
import avro from 'avsc'
import { Kafka, logLevel } from 'kafkajs'

const { KAFKA_BROKERS = '127.0.0.1:9092', TOPIC = 'loggerhead.default.messages', SCHEMA = 'schemas/message.avsc' } = process.env
const { GROUP = `print-messages-${process.pid}-${Date.now()}`, COUNT = '0' } = process.env

const Message = avro.Type.forSchema(JSON.parse(readFileSync(SCHEMA, 'utf8')))

/**
 * Avro single-object encoding: C3 01, eight bytes that name the schema (CRC-64-AVRO, little-endian), then the body. Of a
 * deployment with a schema registry: 0, four bytes with the id that it has for the schema, then the body.
 */
function decode(value) {
  if (value[0] === 0xc3 && value[1] === 0x01) return Message.fromBuffer(value.subarray(10))
  if (value[0] === 0x00) return Message.fromBuffer(value.subarray(5))
  throw new Error('neither in Avro single-object encoding nor in a schema registry’s')
}

/** Payloads are any bytes: text where they are UTF-8, base64 otherwise. */
function readable(payload) {
  const text = payload.toString('utf8')
  return Buffer.from(text).equals(payload) ? { payload: text } : { payloadBase64: payload.toString('base64') }
}

const consumer = new Kafka({ brokers: KAFKA_BROKERS.split(','), logLevel: logLevel.ERROR }).consumer({ groupId: GROUP })
await consumer.connect()
await consumer.subscribe({ topic: TOPIC, fromBeginning: true })

let left = Number(COUNT) || Infinity
await consumer.run({
  eachMessage: async ({ partition, message }) => {
    if (message.value === null || left <= 0) return
    const publish = decode(message.value)
    if (publish.topic.startsWith('$loggerhead/')) return // its own health checks
    const line = {
      partition,
      offset: Number(message.offset),
      receivedAt: new Date(publish.receivedAt).toISOString(),
      topic: publish.topic,
      qos: publish.qos,
      retain: publish.retain,
      clientId: publish.clientId,
      authenticationName: publish.authenticationName,
      contentType: publish.contentType,
      // A name may come more than once, and their order counts: pairs, not an object.
      userProperties: publish.userProperties.map(({ name, value }) => [name, value]),
      ...readable(publish.payload),
    }
    console.log(JSON.stringify(line))
    if (--left === 0) stop()
  },
})

function stop() {
  setImmediate(() => consumer.disconnect().then(() => process.exit(0)))
}
process.once('SIGINT', stop)
process.once('SIGTERM', stop)
