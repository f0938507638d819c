//! Logs by `tracing`, and metrics by `metrics` in Prometheus's format. Both belong to the process:
//! two services in one process share them.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use sqlx::PgPool;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use crate::environment;

/// Buckets of durations in seconds: from a cached answer to a slow replay.
const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0];
/// Buckets of the number of commands or events in a batch.
const COUNTS: [f64; 12] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
/// Interval at which histograms are drained; until then they keep every sample.
const DRAIN_EVERY: Duration = Duration::from_secs(5);

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
/// Functions that set gauges before each scrape.
static SAMPLERS: Mutex<Vec<Sampler>> = Mutex::new(Vec::new());

type Sampler = Box<dyn Fn() + Send>;

/// Starts writing the process's log to standard error.
///
/// # Errors
/// Fails if `log_level` cannot be parsed, or at a second call.
pub fn start_log(config: &LogConfig) -> anyhow::Result<()> {
    let quiet =
        if config.log_level.contains("rdkafka") { "" } else { ",rdkafka=off,librdkafka=off" };
    let filter = EnvFilter::try_new(format!("{}{quiet}", config.log_level))
        .with_context(|| format!("RUST_LOG (--log-level) can't be read: `{}`", config.log_level))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("the log can't be started: {error}"))?;
    if !environment::ignored().is_empty() {
        let variables = environment::ignored().join(", ");
        tracing::warn!(variables, "ignored: only URLs configure connections to Postgres");
    }
    Ok(())
}

/// Returns the process's metrics, which are collected from the first call on. Must be called within
/// a tokio runtime.
///
/// # Panics
/// Panics if another metrics recorder is installed.
pub fn metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        #[expect(
            clippy::expect_used,
            reason = "the buckets are constant, and no other recorder exists"
        )]
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &COUNTS)
            })
            .expect("every list of buckets has an element")
            .install_recorder()
            .expect("no other metrics recorder is installed");
        describe();
        let process = metrics_process::Collector::default();
        process.describe();
        sample(move || process.collect());
        let draining = handle.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(DRAIN_EVERY).await;
                draining.run_upkeep();
            }
        });
        handle
    })
}

/// Runs a function before each scrape, for gauges that cost too much to keep current.
pub fn sample(sampler: impl Fn() + Send + 'static) {
    SAMPLERS.lock().push(Box::new(sampler));
}

/// Returns the metrics in Prometheus's text format.
pub fn scrape() -> String {
    let handle = metrics();
    SAMPLERS.lock().iter().for_each(|sampler| sampler());
    handle.render()
}

/// Sets the metric that names the build of a service.
pub fn build_info(service: &'static str) {
    metrics::describe_gauge!("passbook_build_info", "Build of the service; the value is 1.");
    let version = env!("CARGO_PKG_VERSION");
    metrics::gauge!("passbook_build_info", "service" => service, "version" => version).set(1.0);
}

/// Exports the connections of a pool before each scrape.
pub fn sample_pool(name: &'static str, pool: &PgPool) {
    metrics::describe_gauge!(
        "passbook_postgres_pool_connections",
        "Connections to Postgres for queries, by pool and state."
    );
    metrics::describe_gauge!(
        "passbook_postgres_pool_max_connections",
        "Maximum number of connections to Postgres, by pool."
    );
    let pool = pool.clone();
    sample(move || {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        // Both numbers change while they are read.
        let used = pool.size().saturating_sub(idle);
        for (state, count) in [("idle", idle), ("used", used)] {
            let labels = [("pool", name), ("state", state)];
            metrics::gauge!("passbook_postgres_pool_connections", &labels).set(count);
        }
        let most = pool.options().get_max_connections();
        metrics::gauge!("passbook_postgres_pool_max_connections", "pool" => name).set(most);
    });
}

fn describe() {
    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
    describe_counter!(
        "passbook_http_requests_total",
        "Requests by service, method, route and status."
    );
    describe_histogram!(
        "passbook_http_request_seconds",
        Unit::Seconds,
        "Time from a request to its answer."
    );
    describe_counter!(
        "passbook_http_connections_refused_total",
        "Connections refused because too many were open."
    );
    counter!("passbook_http_connections_refused_total").absolute(0);
    describe_counter!(
        "passbook_http_connections_closed_for_others_total",
        "Idle or stalled connections closed to make room for new ones."
    );
    counter!("passbook_http_connections_closed_for_others_total").absolute(0);
    describe_gauge!("passbook_http_connections", "Open HTTP connections.");
    gauge!("passbook_http_connections").set(0);
    describe_gauge!(
        "passbook_http_budget_used_bytes",
        Unit::Bytes,
        "Memory that large bodies use, of requests and of responses."
    );
    describe_gauge!(
        "passbook_http_budget_max_bytes",
        Unit::Bytes,
        "Maximum memory of large bodies, of requests and of responses."
    );
    describe_counter!(
        "passbook_http_unparsed_total",
        "Requests refused before they were parsed, by status."
    );
    describe_counter!(
        "passbook_http_tls_handshakes_failed_total",
        "TLS handshakes that failed or took longer than 5 s."
    );
    counter!("passbook_http_tls_handshakes_failed_total").absolute(0);
}
