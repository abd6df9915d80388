"""Prints every publish from the log with the deserializer of Confluent's client, which asks a schema registry for the schema.

    pip install 'confluent-kafka[avro,schemaregistry]'
    SCHEMA_REGISTRY_URL=http://127.0.0.1:8081 python docs/examples/print_registered_messages.py

For a deployment that runs with SCHEMA_REGISTRY_URL, from its first message with it on. What was written before then is in
Avro's single-object encoding, which that deserializer does not know: such records are passed over.

KAFKA_BROKERS        host:port, comma-separated   (127.0.0.1:9092)
SCHEMA_REGISTRY_URL  the schema registry          (http://127.0.0.1:8081)
TOPIC                the messages of a namespace  (loggerhead.default.messages)
GROUP                consumer group; the next run with the same one goes on where this one stopped
COUNT                stop after so many           (0: never)
"""

import json
import os
import sys
import time

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

registry = SchemaRegistryClient({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://127.0.0.1:8081")})
deserialize = AvroDeserializer(registry)
consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092"),
        "group.id": os.environ.get("GROUP", f"print-registered-messages-{os.getpid()}-{int(time.time())}"),
        "auto.offset.reset": "earliest",
    }
)
topic = os.environ.get("TOPIC", "loggerhead.default.messages")
consumer.subscribe([topic])

left = int(os.environ.get("COUNT", "0")) or sys.maxsize
try:
    while left > 0:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            raise KafkaException(record.error())
        if record.value()[:1] != b"\x00":
            continue  # from before there was a schema registry
        publish = deserialize(record.value(), SerializationContext(topic, MessageField.VALUE))
        if publish["topic"].startswith("$loggerhead/"):
            continue  # its own health checks
        line = {
            "partition": record.partition(),
            "offset": record.offset(),
            "topic": publish["topic"],
            "qos": publish["qos"],
            "clientId": publish["clientId"],
            "userProperties": [[one["name"], one["value"]] for one in publish["userProperties"]],
            "payload": publish["payload"].decode("utf-8", "replace"),
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)
        left -= 1
except KeyboardInterrupt:
    pass
finally:
    consumer.close()
