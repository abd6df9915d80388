"""Prints the CloudEvents of a topic that a route writes to, one JSON line each, and goes on with new ones as they come.

    pip install confluent-kafka
    TOPIC=loggerhead.default.topic.alarms python docs/examples/print_events.py

KAFKA_BROKERS  host:port, comma-separated   (127.0.0.1:9092)
TOPIC          the Kafka topic; a namespace topic is <prefix>.<namespace>.topic.<name>
GROUP          consumer group; the next run with the same one goes on where this one stopped
COUNT          stop after so many           (0: never)
"""

import base64
import json
import os
import sys
import time

from confluent_kafka import Consumer, KafkaException


def event_of(record):
    """A CloudEvent in the Kafka protocol binding: structured, or binary with its attributes in headers ce_…"""
    headers = {name: value.decode("utf-8") for name, value in record.headers() or []}
    content_type = headers.get("content-type", "")
    if content_type.startswith("application/cloudevents+json"):
        return json.loads(record.value())
    event = {name[3:]: value for name, value in headers.items() if name.startswith("ce_")}
    if content_type:
        event["datacontenttype"] = content_type
    value = record.value()
    if not value:
        return event  # without data
    try:
        if "json" in content_type:
            return {**event, "data": json.loads(value)}
    except ValueError:
        pass  # what a device calls JSON may be none
    return {**event, "data_base64": base64.b64encode(value).decode("ascii")}


consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092"),
        "group.id": os.environ.get("GROUP", f"analytics-{os.getpid()}-{int(time.time())}"),
        "auto.offset.reset": "earliest",
    }
)
consumer.subscribe([os.environ["TOPIC"]])

left = int(os.environ.get("COUNT", "0")) or sys.maxsize
try:
    while left > 0:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            raise KafkaException(record.error())
        print(json.dumps(event_of(record), ensure_ascii=False), flush=True)
        left -= 1
except KeyboardInterrupt:
    pass
finally:
    consumer.close()
