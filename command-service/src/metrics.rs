//! What the command-service counts, by Prometheus's names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::NAMES;
use crate::outcome::{Answer, CommandError, Outcome};
use crate::relay::reader::PassedOver;

/// Describes every metric and registers the counters at zero, so that a rate sees their first event.
pub(crate) fn register() {
    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("passbook_commands_total", "Commands, by command and outcome.");
    describe_counter!("passbook_events_appended_total", "Events appended to the log.");
    describe_histogram!("passbook_append_commands_size", "Commands in one append.");
    describe_histogram!("passbook_append_seconds", Unit::Seconds, "Time of one append.");
    describe_gauge!(
        "passbook_append_success_timestamp_seconds",
        Unit::Seconds,
        "Unix time of the last successful append or check of it."
    );
    describe_counter!(
        "passbook_append_outrun_total",
        "Batches decided again because an account had moved on."
    );
    describe_gauge!("passbook_lane_queue_commands", "Commands waiting in a lane.");
    describe_gauge!(
        "passbook_relay_lag_events",
        "Events in the log and not yet in the topic, by partition."
    );
    describe_gauge!(
        "passbook_log_forked_partitions",
        "Partitions whose topic has events that the log has not."
    );
    describe_counter!("passbook_relay_published_total", "Events acknowledged by Kafka.");
    describe_counter!(
        "passbook_relay_resets_total",
        "Restarts of the relay from the topic's tail."
    );
    describe_counter!(
        "passbook_relay_passed_over_total",
        "Records at the end of the topic that are not the store's, by kind."
    );
    describe_counter!("passbook_holds_expired_total", "Holds ended because their time was over.");
    describe_counter!(
        "passbook_idempotency_keys_forgotten_total",
        "Idempotency keys deleted after their retention."
    );
    for name in [
        "passbook_events_appended_total",
        "passbook_append_outrun_total",
        "passbook_relay_published_total",
        "passbook_relay_resets_total",
        "passbook_holds_expired_total",
        "passbook_idempotency_keys_forgotten_total",
    ] {
        counter!(name).absolute(0);
    }
    for command in NAMES {
        for outcome in ["accepted", "refused", "store_unavailable", "internal_error"] {
            counter!("passbook_commands_total", "command" => command, "outcome" => outcome)
                .absolute(0);
        }
    }
}

/// One command came to its end.
pub(crate) fn command(command: &'static str, result: &Result<Answer, CommandError>) {
    let outcome = match result {
        Ok(Answer { replayed: true, .. }) => "replayed",
        Ok(Answer { outcome: Outcome::Accepted(_), .. }) => "accepted",
        Ok(Answer { outcome: Outcome::Refused(_), .. }) => "refused",
        Err(CommandError::Overloaded) => "overloaded",
        Err(CommandError::ShuttingDown) => "shutting_down",
        Err(CommandError::StoreUnavailable(_)) => "store_unavailable",
        Err(CommandError::LogIsBehind { .. }) => "log_is_behind",
        Err(CommandError::OutcomeUnknown) => "outcome_unknown",
        Err(CommandError::Conflict) => "conflict",
        Err(CommandError::KeyReused) => "key_reused",
        Err(CommandError::SetAborted) => "held_back",
        Err(CommandError::Internal) => "internal_error",
    };
    metrics::counter!("passbook_commands_total", "command" => command, "outcome" => outcome)
        .increment(1);
}

/// An append of so many events, of so many commands, took so long.
pub(crate) fn appended(events: usize, commands: usize, took: Duration) {
    metrics::counter!("passbook_events_appended_total").increment(events as u64);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    metrics::histogram!("passbook_append_commands_size").record(commands as f64);
    metrics::histogram!("passbook_append_seconds").record(took);
}

/// An append, or the check that appends nothing, succeeded now.
pub(crate) fn write_succeeded() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("passbook_append_success_timestamp_seconds").set(now.as_secs_f64());
}

/// A batch had been decided on a state that was not current.
pub(crate) fn batch_outrun() {
    metrics::counter!("passbook_append_outrun_total").increment(1);
}

/// So many commands wait in a lane.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn lane_queue(lane: &str, waiting: usize) {
    metrics::gauge!("passbook_lane_queue_commands", "lane" => lane.to_owned()).set(waiting as f64);
}

/// So many events of a partition are in the log and not yet in the topic.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn relay_lag(partition: i16, events: i64) {
    metrics::gauge!("passbook_relay_lag_events", "partition" => partition.to_string())
        .set(events as f64);
}

/// So many events were acknowledged by Kafka.
pub(crate) fn published(events: u64) {
    metrics::counter!("passbook_relay_published_total").increment(events);
}

/// The relay starts over from the topic's tail.
pub(crate) fn relay_reset() {
    metrics::counter!("passbook_relay_resets_total").increment(1);
}

/// So many holds had their time over, and were ended.
pub(crate) fn holds_expired(holds: usize) {
    metrics::counter!("passbook_holds_expired_total").increment(holds as u64);
}

/// So many idempotency keys had been kept for long enough.
pub(crate) fn keys_forgotten(keys: u64) {
    metrics::counter!("passbook_idempotency_keys_forgotten_total").increment(keys);
}

/// So many partitions are forked.
#[expect(clippy::cast_precision_loss, reason = "at most 1000")]
pub(crate) fn forked_partitions(forks: usize) {
    metrics::gauge!("passbook_log_forked_partitions").set(forks as f64);
}

/// A snapshot was not written by a service with this one's key.
pub(crate) fn snapshot_refused() {
    metrics::counter!("passbook_snapshots_refused_total").increment(1);
}

/// So many records at the end of the topic are not this store's, or can't be.
pub(crate) fn relay_passed_over(records: &PassedOver) {
    let kinds = [
        ("foreign", records.foreign),
        ("unreadable", records.unreadable),
        ("misplaced", records.misplaced),
        ("out_of_order", records.out_of_order),
    ];
    for (kind, count) in kinds {
        metrics::counter!("passbook_relay_passed_over_total", "kind" => kind).increment(count);
    }
}
