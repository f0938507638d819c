//! Prometheus metrics of the command-service.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use passbook_shared::partition::Partition;
use passbook_shared::telemetry;

use crate::domain::NAMES;
use crate::outcome::{CommandError, CommandResult, Outcome};
use crate::relay::reader::PassedOver;

/// Describes every metric and registers the counters at zero, so that `rate` covers their first
/// increment.
pub(crate) fn register() {
    telemetry::metrics();
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("passbook_commands_total", "Commands, by command and outcome.");
    describe_counter!("passbook_events_appended_total", "Events appended to the log.");
    describe_histogram!("passbook_append_commands_size", "Commands in one append.");
    describe_histogram!("passbook_append_seconds", Unit::Seconds, "Time of one append.");
    describe_gauge!(
        "passbook_append_success_timestamp_seconds",
        Unit::Seconds,
        "Unix time of the last successful write check."
    );
    describe_counter!(
        "passbook_append_outrun_total",
        "Batches decided again because an account's state was stale."
    );
    describe_gauge!("passbook_lane_queue_commands", "Commands waiting in a lane.");
    describe_histogram!(
        "passbook_lane_wait_seconds",
        Unit::Seconds,
        "Time that a request waits for its lane, before its batch begins."
    );
    describe_relay();
    describe_counter!(
        "passbook_snapshots_refused_total",
        "Snapshots that another service, or a forger, has written."
    );
    describe_counter!("passbook_holds_expired_total", "Holds ended by expiry.");
    describe_counter!(
        "passbook_idempotency_keys_forgotten_total",
        "Idempotency keys deleted after their retention."
    );
    register_counters();
    telemetry::build_info("command");
}

fn describe_relay() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_gauge!(
        "passbook_relay_lag_events",
        "Events in the log and not yet in the topic, by partition."
    );
    describe_gauge!(
        "passbook_relay_lag_seconds",
        Unit::Seconds,
        "Time since Kafka had acknowledged every event that the log had, of this relay."
    );
    describe_gauge!(
        "passbook_log_forked_partitions",
        "Partitions whose topic has events that the log lacks."
    );
    describe_counter!("passbook_relay_published_total", "Events acknowledged by Kafka.");
    describe_counter!(
        "passbook_relay_resets_total",
        "Restarts of the relay from the topic's tail."
    );
    describe_counter!(
        "passbook_relay_passed_over_total",
        "Skipped records at the end of the topic, by kind."
    );
}

fn register_counters() {
    use metrics::counter;
    for name in [
        "passbook_events_appended_total",
        "passbook_append_outrun_total",
        "passbook_relay_published_total",
        "passbook_relay_resets_total",
        "passbook_snapshots_refused_total",
        "passbook_holds_expired_total",
        "passbook_idempotency_keys_forgotten_total",
    ] {
        counter!(name).absolute(0);
    }
    // So that the first skipped record is an increase.
    relay_passed_over(&PassedOver::default());
    for command in NAMES {
        for outcome in ["accepted", "refused", "store_unavailable", "internal_error"] {
            counter!("passbook_commands_total", "command" => command, "outcome" => outcome)
                .absolute(0);
        }
    }
}

/// Counts a completed command by its outcome.
pub(crate) fn command(command: &'static str, result: &CommandResult) {
    let outcome = match result {
        Ok(outcome) if outcome.is_replay() => "replayed",
        Ok(Outcome::Accepted { .. }) => "accepted",
        Ok(Outcome::Refused { .. }) => "refused",
        Err(CommandError::Overloaded) => "overloaded",
        Err(CommandError::ShareTaken) => "share_taken",
        Err(CommandError::ShuttingDown) => "shutting_down",
        Err(CommandError::StoreUnavailable(_)) => "store_unavailable",
        Err(CommandError::LogIsBehind { .. }) => "log_is_behind",
        Err(CommandError::OutcomeUnknown) => "outcome_unknown",
        Err(CommandError::Conflict) => "conflict",
        Err(CommandError::KeyReused) => "key_reused",
        // The code of the API, which is older than the name of the variant.
        Err(CommandError::SetAborted) => "held_back",
        Err(CommandError::Internal) => "internal_error",
    };
    metrics::counter!("passbook_commands_total", "command" => command, "outcome" => outcome)
        .increment(1);
}

/// Records an append.
pub(crate) fn appended(events: usize, commands: usize, took: Duration) {
    metrics::counter!("passbook_events_appended_total").increment(events as u64);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    metrics::histogram!("passbook_append_commands_size").record(commands as f64);
    metrics::histogram!("passbook_append_seconds").record(took);
}

/// Records the time of a successful append or write check.
pub(crate) fn write_succeeded() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("passbook_append_success_timestamp_seconds").set(now.as_secs_f64());
}

/// Counts a batch that was decided on stale state.
pub(crate) fn batch_outrun() {
    metrics::counter!("passbook_append_outrun_total").increment(1);
}

/// Sets the number of commands waiting in a lane.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn lane_queue(lane: &str, waiting: usize) {
    metrics::gauge!("passbook_lane_queue_commands", "lane" => lane.to_owned()).set(waiting as f64);
}

/// Records the time that a request has waited for its lane.
pub(crate) fn lane_wait(waited: Duration) {
    metrics::histogram!("passbook_lane_wait_seconds").record(waited);
}

/// Sets the number of a partition's events that are not in the topic yet.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn relay_lag(partition: Partition, events: i64) {
    metrics::gauge!("passbook_relay_lag_events", "partition" => partition.to_string())
        .set(events as f64);
}

/// Sets the time since the relay was up to date.
pub(crate) fn relay_lag_time(lag: Duration) {
    metrics::gauge!("passbook_relay_lag_seconds").set(lag);
}

/// Counts events acknowledged by Kafka.
pub(crate) fn published(events: u64) {
    metrics::counter!("passbook_relay_published_total").increment(events);
}

/// Counts a restart of the relay from the topic's tail.
pub(crate) fn relay_reset() {
    metrics::counter!("passbook_relay_resets_total").increment(1);
}

/// Counts expired holds.
pub(crate) fn holds_expired(holds: usize) {
    metrics::counter!("passbook_holds_expired_total").increment(holds as u64);
}

/// Counts deleted idempotency keys.
pub(crate) fn keys_forgotten(keys: u64) {
    metrics::counter!("passbook_idempotency_keys_forgotten_total").increment(keys);
}

/// Sets the number of forked partitions.
#[expect(clippy::cast_precision_loss, reason = "at most 1000")]
pub(crate) fn forked_partitions(forks: usize) {
    metrics::gauge!("passbook_log_forked_partitions").set(forks as f64);
}

/// Counts a snapshot that another key has authenticated.
pub(crate) fn snapshot_refused() {
    metrics::counter!("passbook_snapshots_refused_total").increment(1);
}

/// Counts skipped records at the end of the topic, by kind.
pub(crate) fn relay_passed_over(records: &PassedOver) {
    let kinds = [
        ("unauthentic", records.unauthentic),
        ("foreign", records.foreign),
        ("unreadable", records.unreadable),
        ("misplaced", records.misplaced),
        ("out_of_order", records.out_of_order),
    ];
    for (kind, count) in kinds {
        metrics::counter!("passbook_relay_passed_over_total", "kind" => kind).increment(count);
    }
}
