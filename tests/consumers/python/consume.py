"""Reads a topic from its beginning to its present end with the CloudEvents SDK.

Checks each record by the topic's AsyncAPI document, and prints a JSON line for each record.

Usage: python consume.py DOCUMENT BROKERS TOPIC
"""

import json
import sys
from pathlib import Path

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from jsonschema import Draft202012Validator

ATTRIBUTES = ["id", "source", "type", "subject", "time", "storeid", "position", "version"]


def validate(document, event_type, part, value):
    """Raises an error unless the value fits the document's schema of that part of the message."""
    schema = {"$ref": f"#/components/messages/{event_type}/{part}", "components": document["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def line(record, document):
    headers = dict(record.headers() or [])
    place = {
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[1],
        "headers": {name: value.decode() for name, value in headers.items()},
    }
    try:
        event = from_kafka_event(KafkaMessage(headers=headers, key=record.key(), value=record.value()))
        payload = json.loads(record.value())
        validate(document, payload["type"], "payload", payload)
        validate(document, payload["type"], "headers", place["headers"])
    except Exception as error:
        return place | {"rejected": repr(error)}
    attributes = event.get_attributes()
    return place | {name: attributes[name] for name in ATTRIBUTES} | {"data": event.get_data()}


def main(document, brokers, topic):
    document = json.loads(Path(document).read_text())
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "python", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in partitions]
    due = sum(high - low for low, high in ends)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    while due > 0:
        record = consumer.poll(30)
        if record is None or record.error():
            raise KafkaException(record and record.error())
        print(json.dumps(line(record, document), default=lambda time: time.isoformat()))
        due -= 1
    consumer.close()


main(*sys.argv[1:])
