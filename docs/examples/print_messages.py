"""Prints every publish from the log, one JSON line each, and goes on with new ones as they come.

    pip install confluent-kafka fastavro
    python docs/examples/print_messages.py

KAFKA_BROKERS  host:port, comma-separated   (127.0.0.1:9092)
TOPIC          the messages of a namespace  (loggerhead.default.messages)
SCHEMA         its Avro schema              (schemas/message.avsc)
GROUP          consumer group; the next run with the same one goes on where this one stopped
COUNT          stop after so many           (0: never)
"""

import base64
import io
import json
import os
import sys
import time

from confluent_kafka import Consumer, KafkaException
from fastavro import parse_schema, schemaless_reader

schema_file = os.environ.get("SCHEMA", "schemas/message.avsc")
with open(schema_file, encoding="utf-8") as file:
    schema = parse_schema(json.load(file))


def decode(value):
    """Avro single-object encoding: C3 01, eight bytes that name the schema (CRC-64-AVRO, little-endian), then the body.

    Of a deployment with a schema registry: 0, four bytes with the id that it has for the schema, then the body.
    """
    if value[:2] == b"\xc3\x01":
        return schemaless_reader(io.BytesIO(value[10:]), schema)
    if value[:1] == b"\x00":
        return schemaless_reader(io.BytesIO(value[5:]), schema)
    raise ValueError("neither in Avro single-object encoding nor in a schema registry's")


def readable(payload):
    """Payloads are any bytes: text where they are UTF-8, base64 otherwise."""
    try:
        return {"payload": payload.decode("utf-8")}
    except UnicodeDecodeError:
        return {"payloadBase64": base64.b64encode(payload).decode("ascii")}


consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092"),
        "group.id": os.environ.get("GROUP", f"print-messages-{os.getpid()}-{int(time.time())}"),
        "auto.offset.reset": "earliest",
    }
)
consumer.subscribe([os.environ.get("TOPIC", "loggerhead.default.messages")])

left = int(os.environ.get("COUNT", "0")) or sys.maxsize
try:
    while left > 0:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            raise KafkaException(record.error())
        publish = decode(record.value())
        if publish["topic"].startswith("$loggerhead/"):
            continue  # its own health checks
        line = {
            "partition": record.partition(),
            "offset": record.offset(),
            # fastavro gives timestamps as datetime, in UTC.
            "receivedAt": publish["receivedAt"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "topic": publish["topic"],
            "qos": publish["qos"],
            "retain": publish["retain"],
            "clientId": publish["clientId"],
            "authenticationName": publish["authenticationName"],
            "contentType": publish["contentType"],
            # A name may come more than once, and their order counts: pairs, not a dictionary.
            "userProperties": [[one["name"], one["value"]] for one in publish["userProperties"]],
            **readable(publish["payload"]),
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)
        left -= 1
except KeyboardInterrupt:
    pass
finally:
    consumer.close()
