//! What the command-service counts, by Prometheus's names.

use std::time::Duration;

use crate::lanes::request::{Answer, CommandError, Outcome};

/// One command came to its end.
pub(crate) fn command(command: &'static str, result: &Result<Answer, CommandError>) {
    let outcome = match result {
        Ok(Answer { replayed: true, .. }) => "replayed",
        Ok(Answer { outcome: Outcome::Accepted(_), .. }) => "accepted",
        Ok(Answer { outcome: Outcome::Refused(_), .. }) => "refused",
        Err(CommandError::Overloaded) => "overloaded",
        Err(CommandError::ShuttingDown) => "shutting_down",
        Err(CommandError::StoreUnavailable) => "store_unavailable",
        Err(CommandError::OutcomeUnknown) => "outcome_unknown",
        Err(CommandError::Conflict) => "conflict",
        Err(CommandError::KeyReused) => "key_reused",
        Err(CommandError::HeldBack) => "held_back",
        Err(CommandError::Internal) => "internal_error",
    };
    metrics::counter!("passbook_commands_total", "command" => command, "outcome" => outcome).increment(1);
}

/// An append of so many events, of so many commands, took so long.
pub(crate) fn appended(events: usize, commands: usize, took: Duration) {
    metrics::counter!("passbook_events_appended_total").increment(events as u64);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    metrics::histogram!("passbook_append_commands_size").record(commands as f64);
    metrics::histogram!("passbook_append_seconds").record(took);
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
    metrics::gauge!("passbook_relay_lag_events", "partition" => partition.to_string()).set(events as f64);
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
