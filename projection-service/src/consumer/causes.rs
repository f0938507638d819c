//! Causes of stalled reading: the last error of the Kafka client, and the holders of partitions.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use passbook_shared::partition::Partition;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupList;

/// Age at which an error of the client is no longer reported as a cause.
const FRESH: Duration = Duration::from_secs(600);

/// Known causes, shared by the Kafka clients and by readiness.
#[derive(Debug, Default)]
pub(super) struct Causes {
    client: Mutex<Option<(Instant, String)>>,
    given: Mutex<Option<Vec<Partition>>>,
}

impl Causes {
    /// Records an error of the client, with the values of settings redacted.
    pub(super) fn said(&self, error: &KafkaError, reason: &str) {
        // This error only repeats the error before it.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        self.say(if reason.is_empty() { explain(error) } else { reason.to_owned() });
    }

    /// Records a line of the client's log that gives a reason for a failure.
    pub(super) fn logged(&self, facility: &str, message: &str) {
        // These facilities of the client report failed connections and errors.
        if matches!(facility, "FAIL" | "ERROR") && !message.contains("brokers are down") {
            self.say(message.to_owned());
        }
    }

    fn say(&self, words: String) {
        *self.client.lock() = Some((Instant::now(), words));
    }

    /// Returns the last error of the client, with its age.
    pub(super) fn last(&self) -> Option<String> {
        let client = self.client.lock();
        let (at, words) = client.as_ref().filter(|(at, _)| at.elapsed() < FRESH)?;
        Some(format!("the Kafka client said {} s ago: {words}", at.elapsed().as_secs()))
    }

    /// Replaces the partitions assigned to this instance.
    pub(super) fn give(&self, partitions: Option<Vec<Partition>>) {
        *self.given.lock() = partitions;
    }

    /// Returns whether a partition is assigned to this instance.
    pub(super) fn is_given(&self, partition: Partition) -> bool {
        let given = self.given.lock();
        given.as_ref().is_some_and(|given| given.contains(&partition))
    }
}

/// Returns an error of the client in words.
pub(super) fn explain(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::NotImplemented | RDKafkaErrorCode::UnsupportedCompressionType) => {
            "records are compressed in a way that this build can't read: set the topic's \
             compression.type to gzip, snappy, lz4, zstd or producer"
                .to_owned()
        }
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
            "Kafka grants no right to the consumer group".to_owned()
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            "Kafka grants no right to read the topic".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Returns the group member that holds a partition of a topic, as client id and host.
pub(super) fn holder(groups: &GroupList, topic: &str, partition: Partition) -> Option<String> {
    let members = groups.groups().iter().flat_map(|group| group.members());
    let mut holding = members.filter(|member| {
        let assigned = member.assignment().and_then(|bytes| assigned(bytes, topic));
        assigned.is_some_and(|partitions| partitions.contains(&i32::from(partition)))
    });
    holding.next().map(|member| {
        // Kafka writes a host as `/10.0.0.1`.
        format!("`{}` at {}", member.client_id(), member.client_host().trim_start_matches('/'))
    })
}

/// Decodes a topic's partitions from a member's assignment in Kafka's consumer protocol: a version,
/// then each topic with its partitions.
fn assigned(bytes: &[u8], topic: &str) -> Option<Vec<i32>> {
    let mut rest = bytes.get(2..)?;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken)
    };
    let topics = i32::from_be_bytes(take(4)?.try_into().ok()?);
    for _ in 0..topics {
        let length = i16::from_be_bytes(take(2)?.try_into().ok()?);
        let is_ours = take(usize::try_from(length).ok()?)? == topic.as_bytes();
        let count = i32::from_be_bytes(take(4)?.try_into().ok()?);
        let numbers = take(usize::try_from(count).ok()?.checked_mul(4)?)?;
        if is_ours {
            return Some(
                numbers
                    .chunks_exact(4)
                    .map(|n| i32::from_be_bytes([n[0], n[1], n[2], n[3]]))
                    .collect(),
            );
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_a_broken_one_is_none() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 9];
        bytes.extend([0, 2, b'i', b't', 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 1, 0, 255, 255, 255, 255]);
        assert_eq!(assigned(&bytes, "it"), Some(vec![3, 256]));
        assert_eq!(assigned(&bytes, "a"), Some(vec![9]));
        assert_eq!(assigned(&bytes, "other"), None);
        for length in 0..30 {
            assert_eq!(assigned(&bytes[..length], "it"), None);
        }
    }

    #[test]
    fn the_last_error_with_a_reason_is_kept() {
        let causes = Causes::default();
        causes.said(
            &KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure),
            "SSL handshake failed",
        );
        causes.said(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(
            causes.last().as_deref(),
            Some("the Kafka client said 0 s ago: SSL handshake failed")
        );
        causes.said(&KafkaError::MessageConsumption(RDKafkaErrorCode::NotImplemented), "");
        assert!(causes.last().unwrap().contains("compression.type"));
        assert!(!causes.is_given(Partition::new(3)));
        causes.give(Some(vec![Partition::new(3)]));
        assert!(causes.is_given(Partition::new(3)) && !causes.is_given(Partition::new(4)));
    }
}
