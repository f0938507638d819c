//! Headers and timestamp of a record in the topic.
//!
//! The content type marks the value as a CloudEvent in structured mode (Kafka protocol binding for
//! CloudEvents 1.0.2); without it, CloudEvents SDKs reject the record. The timestamp is the event's
//! own time, so that offsets by time stay right in a topic that was refilled. A header has the time
//! of publishing.

/// Authentication of records.
pub mod authentication;

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};

use crate::timestamp::Timestamp;
use authentication::{MAC, MacText};

/// Name of the header with the media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// Media type of the value.
pub const CLOUD_EVENT: &str = "application/cloudevents+json";
/// Name of the header with the time of publishing, in milliseconds since the Unix epoch.
pub const PUBLISHED_AT: &str = "published-at";

/// Returns the headers of a record that is published at `published_at`, with its MAC if it is
/// signed.
pub fn headers(published_at: Timestamp, mac: Option<&MacText>) -> OwnedHeaders {
    let milliseconds = published_at.as_millis().to_string();
    let content_type = Header { key: CONTENT_TYPE, value: Some(CLOUD_EVENT) };
    let published_at = Header { key: PUBLISHED_AT, value: Some(&milliseconds) };
    let headers = OwnedHeaders::new_with_capacity(3).insert(content_type).insert(published_at);
    match mac {
        Some(mac) => headers.insert(Header { key: MAC, value: Some(mac) }),
        None => headers,
    }
}

/// Returns the timestamp of a record in milliseconds, never later than its publishing. A broker
/// refuses records from more than an hour ahead, and the log's clock can be ahead.
pub fn timestamp(recorded_at: Timestamp, published_at: Timestamp) -> i64 {
    recorded_at.min(published_at).as_millis()
}

/// Returns the time at which a record was published. Early builds wrote no header; their records
/// have it in the timestamp.
pub fn published_at(record: &impl Message) -> Option<Timestamp> {
    let header =
        record.headers().and_then(|all| all.iter().find(|header| header.key == PUBLISHED_AT));
    let milliseconds = match header {
        Some(header) => std::str::from_utf8(header.value?).ok()?.parse().ok(),
        None => record.timestamp().to_millis(),
    };
    milliseconds
        // Kafka's timestamp is -1 if a record has none.
        .filter(|at: &i64| *at >= 0)
        .and_then(|at| Timestamp::from_micros(at.checked_mul(1_000)?))
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp::{self as At, CreateTime, LogAppendTime, NotAvailable};
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn record(at: At, headers: Option<OwnedHeaders>) -> OwnedMessage {
        OwnedMessage::new(None, None, "topic".to_owned(), at, 3, 17, headers)
    }

    fn with(value: &[u8]) -> Option<OwnedHeaders> {
        Some(OwnedHeaders::new().insert(Header { key: PUBLISHED_AT, value: Some(value) }))
    }

    #[test]
    fn a_record_names_its_format_and_its_time_of_publishing() {
        let moment: Timestamp = "2026-11-24T12:00:00.004321Z".parse().unwrap();
        let record = record(CreateTime(0), Some(headers(moment, Some(&[b'm'; 73]))));
        assert_eq!(published_at(&record).unwrap().to_string(), "2026-11-24T12:00:00.004000Z");
        let first = record.headers().unwrap().get(0);
        assert_eq!(
            (first.key, first.value),
            ("content-type", Some(&b"application/cloudevents+json"[..]))
        );
        let last = record.headers().unwrap().get(2);
        assert_eq!((last.key, last.value), ("passbook-mac", Some(&[b'm'; 73][..])));
        assert_eq!(headers(moment, None).count(), 2);
    }

    #[test]
    fn a_timestamp_is_the_time_of_the_event_and_never_after_its_publishing() {
        let [early, late] =
            ["2026-11-24T12:00:00.004999Z", "2026-11-24T14:00:00Z"].map(|at| at.parse().unwrap());
        assert_eq!(timestamp(early, late), 1_795_521_600_004);
        assert_eq!(timestamp(late, early), 1_795_521_600_004);
    }

    #[test]
    fn a_record_without_the_header_was_published_at_its_timestamp_and_no_bytes_panic() {
        let moment: Option<Timestamp> = "2026-11-24T12:00:00.004Z".parse().ok();
        assert_eq!(published_at(&record(CreateTime(1_795_521_600_004), None)), moment);
        assert_eq!(published_at(&record(LogAppendTime(1_795_521_600_004), None)), moment);
        for none in [NotAvailable, CreateTime(-1), CreateTime(i64::MAX), CreateTime(i64::MIN)] {
            assert_eq!(published_at(&record(none, None)), None);
        }
        for bad in
            [&b""[..], b"\xff", b"soon", b"-1", b"9223372036854775807", b"99999999999999999999"]
        {
            assert_eq!(published_at(&record(CreateTime(0), with(bad))), None, "{bad:?}");
        }
        let valueless =
            OwnedHeaders::new().insert(Header { key: PUBLISHED_AT, value: None::<&[u8]> });
        assert_eq!(published_at(&record(CreateTime(0), Some(valueless))), None);
    }
}
