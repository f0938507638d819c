"""Reads a topic from its beginning to its present end with the CloudEvents SDK; prints one JSON line per record.

Usage: python consume.py BROKERS TOPIC
"""

import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

ATTRIBUTES = ["id", "source", "type", "subject", "time", "storeid", "position", "version"]


def line(record):
    headers = dict(record.headers() or [])
    place = {
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[1],
        "headers": {name: value.decode() for name, value in headers.items()},
    }
    try:
        event = from_kafka_event(KafkaMessage(headers=headers, key=record.key(), value=record.value()))
    except Exception as error:
        return place | {"rejected": repr(error)}
    attributes = event.get_attributes()
    return place | {name: attributes[name] for name in ATTRIBUTES} | {"data": event.get_data()}


def main(brokers, topic):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "python", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in partitions]
    due = sum(high - low for low, high in ends)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    while due > 0:
        record = consumer.poll(30)
        if record is None or record.error():
            raise KafkaException(record and record.error())
        print(json.dumps(line(record), default=lambda time: time.isoformat()))
        due -= 1
    consumer.close()


main(*sys.argv[1:])
