use std::net::TcpListener;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::*;

const WAIT: Duration = Duration::from_secs(30);

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("group.id", "test");
    config
}

/// Returns the number of partitions of a topic, by a client that knows only `address`.
fn partitions(address: &str, topic: &str) -> usize {
    let consumer: BaseConsumer = client(address).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), WAIT).unwrap();
    metadata.topics()[0].partitions().len()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn a_broker_has_the_topics_with_their_partitions() {
    let topics = ["one", "two"].map(str::to_owned);
    let broker = Broker::start(&topics, 7, None).unwrap();
    for topic in topics {
        assert_eq!(partitions(broker.address(), &topic), 7, "{topic}");
    }
}

#[test]
fn two_brokers_have_different_ports() {
    let topics = ["one".to_owned()];
    let [one, two] = [1, 2].map(|count| Broker::start(&topics, count, None).unwrap());
    assert_ne!(one.address(), two.address());
    assert_eq!(partitions(one.address(), "one"), 1);
    drop(one);
    assert_eq!(partitions(two.address(), "one"), 2, "the other one runs on");
}

#[test]
fn a_topic_that_is_named_twice_is_rejected() {
    let topics = ["one", "two", "one"].map(str::to_owned);
    let error = Broker::start(&topics, 1, None).unwrap_err().to_string();
    assert_eq!(error, "the in-process broker rejects the topic `one`");
}

#[test]
fn a_port_in_use_is_named_with_its_setting() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Broker::start(&["one".to_owned()], 1, Some(port)).unwrap_err().to_string();
    let words = format!("cannot listen on 127.0.0.1:{port}: choose another port with BROKER_PORT");
    assert!(error.ends_with(&words), "{error}");
}

#[test]
fn a_record_makes_its_way_through_a_fixed_port() {
    let port = free_port();
    let broker = Broker::start(&["one".to_owned()], 3, Some(port)).unwrap();
    assert_eq!(broker.address(), format!("127.0.0.1:{port}"));
    let producer = client(broker.address()).create().unwrap();
    send(&producer, 2, "payload");
    let record = Received::of(broker.address(), 2);
    assert_eq!((record.offset, record.payload.as_str()), (0, "payload"));
}

fn send(producer: &BaseProducer, partition: i32, payload: &str) {
    let record = BaseRecord::to("one").partition(partition).key("key").payload(payload);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(WAIT).unwrap();
}

/// First record of a partition.
struct Received {
    offset: i64,
    payload: String,
}

impl Received {
    fn of(address: &str, partition: i32) -> Self {
        let consumer: BaseConsumer = client(address).create().unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset("one", partition, Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        let record = consumer.poll(WAIT).unwrap().unwrap();
        assert_eq!((record.partition(), record.key()), (partition, Some(&b"key"[..])));
        let payload = String::from_utf8(record.payload().unwrap().to_vec()).unwrap();
        Self { offset: record.offset(), payload }
    }
}

#[test]
fn a_record_makes_its_way_by_every_codec() {
    const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
    let broker = Broker::start(&["one".to_owned()], 5, None).unwrap();
    // The client sends a batch as it is if its compression does not pay off.
    let payload = "payload ".repeat(1_000);
    for (codec, partition) in CODECS.into_iter().zip(0..) {
        let mut config = client(broker.address());
        // This client has the codec, or refuses the setting.
        let producer = config.set("compression.type", codec).create().unwrap();
        send(&producer, partition, &payload);
        assert_eq!(Received::of(broker.address(), partition).payload, payload, "{codec}");
    }
}

#[test]
fn a_fixed_port_is_free_again_after_the_broker() {
    let port = free_port();
    for count in [1, 2] {
        let broker = Broker::start(&["one".to_owned()], count, Some(port)).unwrap();
        assert_eq!(partitions(broker.address(), "one"), usize::from(count));
    }
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}
