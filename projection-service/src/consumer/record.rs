//! What was read: a record of the topic, or an event of the log's feed.

use passbook_shared::cloud_event::{self, Decoded};
use passbook_shared::epoch::Epoch;
use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::topic_record;
use passbook_shared::upcast::DecodeError;
use rdkafka::message::Message;
use uuid::Uuid;

/// A record of the topic, or an event of the feed.
#[derive(Debug)]
pub(crate) struct Record {
    /// Where it was read.
    pub(crate) partition: Partition,
    /// Where in the topic; absent if it is of the feed.
    pub(crate) offset: Option<i64>,
    /// Since when it is there; absent if it is of the feed, or does not say.
    pub(crate) published_at: Option<Timestamp>,
    /// What it holds.
    pub(crate) content: Result<Event, Unreadable>,
}

/// An event of the log.
#[derive(Debug)]
pub(crate) struct Event {
    /// With its place in the log.
    pub(crate) recorded: RecordedEvent,
    /// Whose log.
    pub(crate) store_id: Uuid,
    /// The epoch of that store in which it was published; of an event of the feed 0, which the log vouches for.
    pub(crate) epoch: Epoch,
    /// What happened.
    pub(crate) decoded: Result<AccountEvent, Unreadable>,
}

/// Bytes this program can't make sense of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Why, for people.
    pub(crate) reason: String,
    /// As they were.
    pub(crate) document: Vec<u8>,
}

impl Unreadable {
    /// Postgres can't hold a NUL in a text.
    fn new(reason: &str, document: &[u8]) -> Self {
        Self { reason: reason.replace('\0', "\u{fffd}"), document: document.to_vec() }
    }
}

impl Record {
    /// A record as it is in the topic.
    pub(crate) fn of_topic(partition: Partition, message: &impl Message) -> Self {
        Self {
            published_at: topic_record::published_at(message),
            ..Self::read(partition, Some(message.offset()), message.payload().unwrap_or_default())
        }
    }

    /// A record with this value. Any bytes will do.
    pub(crate) fn read(partition: Partition, offset: Option<i64>, document: &[u8]) -> Self {
        let content = cloud_event::decode(document)
            .map(|Decoded { event: recorded, store_id, epoch }| {
                let decoded = recorded
                    .decode()
                    .map_err(|error| Unreadable::new(&error.to_string(), document));
                Event { recorded, store_id, epoch, decoded }
            })
            .map_err(|reason| Unreadable::new(&reason, document));
        Self { partition, offset, published_at: None, content }
    }

    /// What it takes, about, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 512;
        FIXED
            + match &self.content {
                Ok(event) => event.recorded.data.get().len() * 2,
                Err(unreadable) => unreadable.document.len(),
            }
    }

    /// An event as the feed of this store's log gives it.
    pub(crate) fn of_feed(recorded: RecordedEvent, store_id: Uuid) -> Self {
        let unreadable = |error: DecodeError| {
            Unreadable::new(&error.to_string(), &document(&recorded, store_id))
        };
        let decoded = recorded.decode().map_err(unreadable);
        Self {
            partition: recorded.position.partition,
            offset: None,
            published_at: None,
            content: Ok(Event { recorded, store_id, epoch: 0, decoded }),
        }
    }
}

/// The event as the topic carries it: byte for byte what the relay writes.
pub(crate) fn document(recorded: &RecordedEvent, store_id: Uuid) -> Vec<u8> {
    let mut document = Vec::new();
    // Plain data: there is nothing that could fail.
    let _ = cloud_event::encode(recorded, store_id, 0, &mut document);
    document
}
