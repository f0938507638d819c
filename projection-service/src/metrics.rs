//! What the service counts and measures.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use passbook_shared::partition::Partition;

/// Describes every metric and registers the counters at zero, so that a rate sees their first event.
pub(crate) fn register() {
    describe_counter!("passbook_projection_events_total", "Events applied to the views.");
    describe_histogram!("passbook_projection_batch_size", "Events in one transaction.");
    describe_histogram!(
        "passbook_projection_apply_seconds",
        Unit::Seconds,
        "Time of one transaction."
    );
    describe_histogram!(
        "passbook_projection_delay_seconds",
        Unit::Seconds,
        "Time from an event's append to its view, of the last event of a batch."
    );
    describe_counter!(
        "passbook_projection_quarantined_total",
        "Records and events put into quarantine."
    );
    describe_gauge!(
        "passbook_projection_quarantined_events",
        "Records and events in quarantine now."
    );
    describe_counter!(
        "passbook_projection_restarts_total",
        "Restarts of reading from the checkpoints."
    );
    describe_counter!(
        "passbook_projection_holes_total",
        "Holes of the topic filled from the log, by partition."
    );
    describe_counter!(
        "passbook_projection_rebalances_total",
        "Changes of this instance's partitions."
    );
    describe_gauge!("passbook_projection_partitions", "Partitions that this instance applies.");
    describe_gauge!(
        "passbook_projection_lag_events",
        "Records of the topic not applied yet, by partition."
    );
    describe_gauge!(
        "passbook_projection_lag_seconds",
        Unit::Seconds,
        "Age of the oldest of them, by partition."
    );
    describe_counter!(
        "passbook_topic_unusable_records_total",
        "Records of the topic that can't be used, by kind."
    );
    describe_counter!(
        "passbook_topic_repeated_records_total",
        "Records of the topic that were read before."
    );
    describe_counter!(
        "passbook_projection_corrections_total",
        "Corrections of views that were not the log's."
    );
    describe_counter!(
        "passbook_projection_corrected_events_total",
        "Events that corrections applied again."
    );
    for name in [
        "passbook_projection_events_total",
        "passbook_projection_quarantined_total",
        "passbook_projection_restarts_total",
        "passbook_projection_rebalances_total",
    ] {
        counter!(name).absolute(0);
    }
}

/// A batch was applied: its events, how long its transaction took.
pub(crate) fn applied(events: usize, took: Duration) {
    counter!("passbook_projection_events_total").increment(events as u64);
    histogram!("passbook_projection_batch_size").record(count(events));
    histogram!("passbook_projection_apply_seconds").record(took);
}

/// From when an event was recorded in the log to when it could be queried.
pub(crate) fn delay(micros: i64) {
    histogram!("passbook_projection_delay_seconds")
        .record(Duration::from_micros(micros.max(0).unsigned_abs()));
}

/// Records and events were set aside.
pub(crate) fn quarantined(number: usize) {
    counter!("passbook_projection_quarantined_total").increment(number as u64);
}

/// How many records and events are set aside now.
pub(crate) fn in_quarantine(number: i64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge!("passbook_projection_quarantined_events").set(number as f64);
}

/// A batch was not applied, and reading starts over from the checkpoints.
pub(crate) fn started_over() {
    counter!("passbook_projection_restarts_total").increment(1);
}

/// The topic had a hole.
pub(crate) fn hole(partition: Partition) {
    counter!("passbook_projection_holes_total", "partition" => partition.to_string()).increment(1);
}

/// The kinds of records that can't be used, from 0 on: a rate needs a beginning.
pub(crate) fn register_unusable(kinds: impl IntoIterator<Item = &'static str>) {
    for kind in kinds {
        counter!("passbook_topic_unusable_records_total", "kind" => kind).increment(0);
    }
    counter!("passbook_topic_repeated_records_total").increment(0);
    counter!("passbook_projection_corrections_total").increment(0);
    counter!("passbook_projection_corrected_events_total").increment(0);
}

/// Records of the topic can't be used and are passed over.
pub(crate) fn unusable(kind: &'static str, records: u64) {
    counter!("passbook_topic_unusable_records_total", "kind" => kind).increment(records);
}

/// A record of the topic was a repeat.
pub(crate) fn repeated() {
    counter!("passbook_topic_repeated_records_total").increment(1);
}

/// A partition of the views was corrected by the log: it had so many events that the log does not have.
pub(crate) fn corrected(events: i64) {
    counter!("passbook_projection_corrections_total").increment(1);
    counter!("passbook_projection_corrected_events_total").increment(events.max(0).unsigned_abs());
}

/// Partitions were given to this instance, or taken from it.
pub(crate) fn rebalanced(partitions: usize) {
    counter!("passbook_projection_rebalances_total").increment(1);
    gauge!("passbook_projection_partitions").set(count(partitions));
}

/// How far a partition's view is behind the topic.
pub(crate) fn lag(partition: Partition, events: i64, millis: i64) {
    let label = partition.to_string();
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let (events, millis) = (events as f64, millis as f64);
    gauge!("passbook_projection_lag_events", "partition" => label.clone()).set(events);
    gauge!("passbook_projection_lag_seconds", "partition" => label).set(millis / 1_000.0);
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
