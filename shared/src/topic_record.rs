//! A record of the topic around its value: headers and timestamp.
//!
//! The content type names the value as a CloudEvent in structured mode (Kafka protocol binding for CloudEvents 1.0.2):
//! without it the CloudEvents SDKs reject the record. The timestamp is the event's own time, so that offsets by time
//! stay right in a topic that was filled again; the time of publishing is in a header.

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};

use crate::timestamp::Timestamp;

/// Name of the header with the media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// Media type of the value.
pub const CLOUD_EVENT: &str = "application/cloudevents+json";
/// Name of the header with the time of publishing, in milliseconds since 1970-01-01T00:00:00Z.
pub const PUBLISHED_AT: &str = "published-at";

/// Headers of a record that is published at this moment.
pub fn headers(published_at: Timestamp) -> OwnedHeaders {
    let milliseconds = published_at.as_millis().to_string();
    let content_type = Header { key: CONTENT_TYPE, value: Some(CLOUD_EVENT) };
    let published_at = Header { key: PUBLISHED_AT, value: Some(&milliseconds) };
    OwnedHeaders::new_with_capacity(2).insert(content_type).insert(published_at)
}

/// Timestamp of the record of an event, in milliseconds. Never later than the moment of publishing: a broker refuses
/// records from more than an hour ahead, and the log's clock may be.
pub fn timestamp(recorded_at: Timestamp, published_at: Timestamp) -> i64 {
    recorded_at.min(published_at).as_millis()
}

/// Moment at which a record was published. A record without that header, as they were before it was introduced, has it
/// in its timestamp.
pub fn published_at(record: &impl Message) -> Option<Timestamp> {
    let header =
        record.headers().and_then(|all| all.iter().find(|header| header.key == PUBLISHED_AT));
    let milliseconds = match header {
        Some(header) => std::str::from_utf8(header.value?).ok()?.parse().ok(),
        None => record.timestamp().to_millis(),
    };
    milliseconds
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
    fn a_record_names_its_format_and_when_it_was_published() {
        let moment: Timestamp = "2026-11-24T12:00:00.004321Z".parse().unwrap();
        let record = record(CreateTime(0), Some(headers(moment)));
        assert_eq!(published_at(&record).unwrap().to_string(), "2026-11-24T12:00:00.004000Z");
        let first = record.headers().unwrap().get(0);
        assert_eq!(
            (first.key, first.value),
            ("content-type", Some(&b"application/cloudevents+json"[..]))
        );
    }

    #[test]
    fn the_timestamp_is_the_events_and_never_ahead_of_its_publishing() {
        let [early, late] =
            ["2026-11-24T12:00:00.004999Z", "2026-11-24T14:00:00Z"].map(|at| at.parse().unwrap());
        assert_eq!(timestamp(early, late), 1_795_521_600_004);
        assert_eq!(timestamp(late, early), 1_795_521_600_004);
    }

    #[test]
    fn a_record_without_the_header_has_it_in_its_timestamp_and_no_bytes_panic() {
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
