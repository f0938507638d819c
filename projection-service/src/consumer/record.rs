//! Records read from the topic or from the log.

use std::time::Duration;

use passbook_shared::cloud_event::{self, Decoded};
use passbook_shared::epoch::Epoch;
use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::topic_record;
use passbook_shared::topic_record::authentication::{TopicKeys, Unauthentic};
use passbook_shared::trace::{self, Member};
use passbook_shared::upcast::DecodeError;
use rdkafka::message::Message;
use uuid::Uuid;

/// A record of the topic, or an event of the log.
#[derive(Debug)]
pub(crate) struct Record {
    /// Partition from which it was read.
    pub(crate) partition: Partition,
    /// Offset in the topic; none if read from the log.
    pub(crate) offset: Option<i64>,
    /// Time of publishing; none if read from the log, or if the record has none.
    pub(crate) published_at: Option<Timestamp>,
    /// Result of the check of the MAC; an event of the log needs none.
    pub(crate) authentic: Result<(), Unauthentic>,
    /// Decoded content; empty if the record is not authentic.
    pub(crate) content: Result<Event, Unreadable>,
}

/// An event of the log.
#[derive(Debug)]
pub(crate) struct Event {
    /// Recorded event, with its position.
    pub(crate) recorded: RecordedEvent,
    /// Store of the log.
    pub(crate) store_id: Uuid,
    /// Epoch of publishing; 0 if read from the log, where every event is valid.
    pub(crate) epoch: Epoch,
    /// Decoded event.
    pub(crate) decoded: Result<AccountEvent, Unreadable>,
}

/// Content that this version cannot decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Reason, in words.
    pub(crate) reason: String,
    /// Original bytes.
    pub(crate) document: Vec<u8>,
}

impl Unreadable {
    /// Replaces NUL in the reason, because Postgres text cannot contain it.
    fn new(reason: &str, document: &[u8]) -> Self {
        Self { reason: reason.replace('\0', "\u{fffd}"), document: document.to_vec() }
    }
}

impl Record {
    /// Returns the event as a member of a batch, if it is sampled.
    pub(super) fn member(&self) -> Option<Member> {
        let context = &self.content.as_ref().ok()?.recorded.metadata.context;
        let parent = trace::parent(context.traceparent.as_deref())?;
        Some(Member { parent, waited: Duration::ZERO })
    }

    /// Decodes a message of the topic. Nothing of a message that is not authentic is decoded or
    /// kept.
    pub(crate) fn of_topic(partition: Partition, message: &impl Message, keys: &TopicKeys) -> Self {
        let offset = Some(message.offset());
        if let Err(unauthentic) = keys.check(partition, message) {
            let content = Err(Unreadable { reason: String::new(), document: Vec::new() });
            let authentic = Err(unauthentic);
            return Self { partition, offset, published_at: None, authentic, content };
        }
        Self {
            published_at: topic_record::published_at(message),
            // A record without a value is judged like one with an empty value.
            ..Self::read(partition, offset, message.payload().unwrap_or_default())
        }
    }

    /// Decodes a document; accepts any bytes.
    pub(crate) fn read(partition: Partition, offset: Option<i64>, document: &[u8]) -> Self {
        let content = cloud_event::decode(document)
            .map(|Decoded { event: recorded, store_id, epoch }| {
                let decoded = recorded
                    .decode()
                    .map_err(|error| Unreadable::new(&error.to_string(), document));
                Event { recorded, store_id, epoch, decoded }
            })
            .map_err(|reason| Unreadable::new(&reason, document));
        Self { partition, offset, published_at: None, authentic: Ok(()), content }
    }

    /// Returns the approximate size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 512;
        FIXED
            + match &self.content {
                // The payload exists twice: as JSON and decoded.
                Ok(event) => event.recorded.data.get().len() * 2,
                Err(unreadable) => unreadable.document.len(),
            }
    }

    /// Decodes an event read from the log of `store_id`.
    pub(crate) fn of_feed(recorded: RecordedEvent, store_id: Uuid) -> Self {
        let unreadable = |error: DecodeError| {
            Unreadable::new(&error.to_string(), &document(&recorded, store_id))
        };
        let decoded = recorded.decode().map_err(unreadable);
        Self {
            partition: recorded.position.partition,
            offset: None,
            published_at: None,
            authentic: Ok(()),
            content: Ok(Event { recorded, store_id, epoch: 0, decoded }),
        }
    }
}

/// Returns the event's document in the topic, byte for byte as the relay writes it.
pub(crate) fn document(recorded: &RecordedEvent, store_id: Uuid) -> Vec<u8> {
    let mut document = Vec::new();
    // Encoding plain data to memory cannot fail.
    let _ = cloud_event::encode(recorded, store_id, 0, &mut document);
    document
}
