//! Metrics of the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use passbook_shared::partition::Partition;
use passbook_shared::telemetry;
use sqlx::PgPool;

/// Name of the pool for queries.
const POOL: &str = "queries";

/// Counters without a label, which start at zero, so that a rate includes the first event.
const COUNTERS: [(&str, &str); 4] = [
    ("passbook_projection_events_total", "Events applied to the views."),
    ("passbook_projection_quarantined_total", "Events quarantined."),
    ("passbook_projection_restarts_total", "Restarts of the consumer from the checkpoints."),
    ("passbook_projection_rebalances_total", "Rebalances of this instance's partitions."),
];

/// Counters whose series begin with the first event.
const RARE_COUNTERS: [(&str, &str); 5] = [
    ("passbook_projection_holes_total", "Gaps of the topic, filled from the log, by partition."),
    ("passbook_topic_unusable_records_total", "Unusable records of the topic, by kind."),
    ("passbook_topic_repeated_records_total", "Repeated records of the topic."),
    ("passbook_projection_corrections_total", "Corrections of views that differed from the log."),
    ("passbook_projection_corrected_events_total", "Events applied again by corrections."),
];

const GAUGES: [(&str, &str); 3] = [
    ("passbook_projection_quarantined_events", "Events in quarantine."),
    ("passbook_projection_partitions", "Partitions that this instance applies."),
    ("passbook_projection_lag_events", "Records of the topic not applied yet, by partition."),
];

/// Describes every metric and registers the counters.
pub(crate) fn register() {
    telemetry::metrics();
    for (name, description) in COUNTERS {
        describe_counter!(name, description);
        counter!(name).absolute(0);
    }
    for (name, description) in RARE_COUNTERS {
        describe_counter!(name, description);
    }
    for (name, description) in GAUGES {
        describe_gauge!(name, description);
    }
    describe_gauge!(
        "passbook_projection_lag_seconds",
        Unit::Seconds,
        "Age of the oldest record of the topic not applied yet, by partition."
    );
    register_checks();
    telemetry::build_info("projection");
    describe_histogram!("passbook_projection_batch_size", "Events applied per transaction.");
    describe_histogram!(
        "passbook_projection_apply_seconds",
        Unit::Seconds,
        "Duration of a transaction that applies events."
    );
    describe_histogram!(
        "passbook_projection_delay_seconds",
        Unit::Seconds,
        "Time from the append of a batch's last event to its visibility in the views."
    );
}

fn register_checks() {
    describe_gauge!(
        "passbook_projection_checkpoint_age_seconds",
        Unit::Seconds,
        "Time since the checkpoint of a partition moved while an event waits; 0 if none waits."
    );
    describe_gauge!(
        "passbook_verify_differences",
        "Differences that the last complete verification of this instance found."
    );
    describe_gauge!(
        "passbook_verify_success_timestamp_seconds",
        Unit::Seconds,
        "Unix time of the last complete verification of this instance."
    );
    describe_gauge!(
        "passbook_postgres_pool_waiting",
        "Queries that wait for a connection of the pool."
    );
    describe_counter!(
        "passbook_postgres_pool_timeouts_total",
        "Queries that got no connection, or no result, in time."
    );
    counter!("passbook_postgres_pool_timeouts_total", "pool" => POOL).absolute(0);
}

/// Sets the time since the checkpoint of a partition moved, while an event waits.
pub(crate) fn checkpoint_age(partition: Partition, age: Duration) {
    let label = partition.to_string();
    gauge!("passbook_projection_checkpoint_age_seconds", "partition" => label).set(age);
}

/// Records a complete verification.
pub(crate) fn verified(differences: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge!("passbook_verify_differences").set(differences as f64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!("passbook_verify_success_timestamp_seconds").set(now);
}

/// Exports the connections of the pool for queries, and the queries that wait for one.
pub(crate) fn sample_pool(pool: &PgPool, running: Arc<AtomicU32>) {
    telemetry::sample_pool(POOL, pool);
    let most = pool.options().get_max_connections();
    telemetry::sample(move || {
        let waiting = running.load(Ordering::Relaxed).saturating_sub(most);
        gauge!("passbook_postgres_pool_waiting", "pool" => POOL).set(waiting);
    });
}

/// Counts a query that got no result in time.
pub(crate) fn query_timed_out() {
    counter!("passbook_postgres_pool_timeouts_total", "pool" => POOL).increment(1);
}

/// Records an applied batch and the duration of its transaction.
pub(crate) fn applied(events: usize, took: Duration) {
    counter!("passbook_projection_events_total").increment(events as u64);
    histogram!("passbook_projection_batch_size").record(count(events));
    histogram!("passbook_projection_apply_seconds").record(took);
}

/// Records the time from an event's append to its visibility in the views, in microseconds.
pub(crate) fn delay(micros: i64) {
    histogram!("passbook_projection_delay_seconds")
        .record(Duration::from_micros(micros.max(0).unsigned_abs()));
}

/// Counts newly quarantined events.
pub(crate) fn quarantined(number: usize) {
    counter!("passbook_projection_quarantined_total").increment(number as u64);
}

/// Sets the number of events in quarantine.
pub(crate) fn in_quarantine(number: i64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge!("passbook_projection_quarantined_events").set(number as f64);
}

/// Counts a restart from the checkpoints after a batch was not applied.
pub(crate) fn started_over() {
    counter!("passbook_projection_restarts_total").increment(1);
}

/// Counts a gap in the topic.
pub(crate) fn gap(partition: Partition) {
    counter!("passbook_projection_holes_total", "partition" => partition.to_string()).increment(1);
}

/// Registers the counters of unusable records at zero, so that a rate includes the first one.
pub(crate) fn register_unusable(kinds: impl IntoIterator<Item = &'static str>) {
    for kind in kinds {
        counter!("passbook_topic_unusable_records_total", "kind" => kind).increment(0);
    }
    counter!("passbook_topic_repeated_records_total").increment(0);
    counter!("passbook_projection_corrections_total").increment(0);
    counter!("passbook_projection_corrected_events_total").increment(0);
}

/// Counts unusable records, which the consumer skips.
pub(crate) fn unusable(kind: &'static str, records: u64) {
    counter!("passbook_topic_unusable_records_total", "kind" => kind).increment(records);
}

/// Counts a repeated record.
pub(crate) fn repeated() {
    counter!("passbook_topic_repeated_records_total").increment(1);
}

/// Counts a correction, and the events that it applied again.
pub(crate) fn corrected(events: i64) {
    counter!("passbook_projection_corrections_total").increment(1);
    counter!("passbook_projection_corrected_events_total").increment(events.max(0).unsigned_abs());
}

/// Records a rebalance that left this instance with `partitions` partitions.
pub(crate) fn rebalanced(partitions: usize) {
    counter!("passbook_projection_rebalances_total").increment(1);
    gauge!("passbook_projection_partitions").set(count(partitions));
}

/// Sets the lag of a partition behind the topic, in events and milliseconds.
pub(crate) fn lag(partition: Partition, events: i64, millis: i64) {
    let label = partition.to_string();
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let (events, millis) = (events as f64, millis as f64);
    gauge!("passbook_projection_lag_events", "partition" => label.clone()).set(events);
    gauge!("passbook_projection_lag_seconds", "partition" => label).set(millis / 1_000.0);
}

#[expect(clippy::cast_precision_loss, reason = "counts are far smaller than 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
