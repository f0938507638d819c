//! Requests to the routes of a service that reaches neither Postgres nor Kafka.

mod commands;
mod queries;

use std::sync::Arc;
use std::time::Duration;

use passbook_shared::config::{KafkaConfig, KafkaOptions, Keys, Tokens};
use passbook_shared::health::Health;
use passbook_shared::http::gate::Access;
use passbook_shared::http::limits::HttpConfig;
use passbook_shared::http::server;
use passbook_shared::partition::PartitionCount;
use passbook_shared::shares::Shares;
use passbook_shared::shutdown::{CancellationToken, Tasks};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use super::turns::Turns;
use super::{App, AppState, routes};
use crate::config::lanes::LaneConfig;
use crate::domain::tests::specification::at;
use crate::lanes::{LaneDeps, Lanes};
use crate::log::check::Checker;
use crate::log::clock::LogClock;
use crate::log::read::LogReader;
use crate::log::snapshot_key::SnapshotKey;
use crate::log::snapshots::Snapshots;
use crate::log::store::Store;
use crate::quotas::Quotas;
use crate::relay;
use crate::restore::desk::Desk;
use crate::restore::standing::tests::forked;
use crate::writes::Writes;

const PARTITIONS: PartitionCount = PartitionCount::new(4);
const ACCOUNT: Uuid = Uuid::from_u128(1);
/// Time that a command waits for Postgres.
const PATIENCE: Duration = Duration::from_millis(50);

/// Creates the state of the routes. Partition 3 is forked. The lanes are among the tasks.
pub(crate) fn app(tasks: &mut Tasks, require_idempotency_key: bool) -> App {
    let connect: PgConnectOptions = "postgres://nobody@127.0.0.1:1/nothing".parse().unwrap();
    let pool = PgPoolOptions::new().acquire_timeout(PATIENCE).connect_lazy_with(connect.clone());
    let store = Store { store_id: Uuid::max(), partitions: PARTITIONS, opened_by_key_alone: false };
    let (standing, clock) = (forked([PARTITIONS.last()]), LogClock::new(PARTITIONS, at(0)));
    let snapshots = Snapshots::only_read(SnapshotKey::random());
    let deps = LaneDeps {
        partitions: PARTITIONS,
        clock: clock.clone(),
        pool: pool.clone(),
        relay: relay::hand_over().0,
        snapshots: snapshots.clone(),
        writes: Writes::default(),
        standing: standing.clone(),
    };
    let config = LaneConfig {
        lanes: 2,
        connect: connect.clone(),
        queue: 10,
        max_batch: 10,
        cache_bytes: 1 << 20,
        patience: PATIENCE,
        snapshot_every: 500,
        most_holds: 10,
    };
    let lanes = Lanes::start(deps, &config, tasks);
    let kafka = KafkaConfig {
        kafka_brokers: "127.0.0.1:1".to_owned(),
        kafka_topic: "passbook.events".to_owned(),
        kafka_options: KafkaOptions::default(),
        kafka_options_file: None,
        topic_key: Keys::default(),
        topic_key_file: Keys::default(),
        tokens: Tokens::default(),
    };
    App {
        feed_turns: Turns::new(2, Shares::new(2), lanes.clone()),
        read_turns: Turns::new(2, Shares::new(2), lanes.clone()),
        lanes,
        log: LogReader::new(pool.clone(), pool.clone(), store, snapshots),
        checker: Arc::new(Checker::new(connect, PARTITIONS)),
        standing: standing.clone(),
        clock,
        desk: Desk::new(kafka, store, pool, standing),
        topic_document: "{}".into(),
        quotas: Quotas::new(None),
        require_idempotency_key,
    }
}

/// Service with its routes and limits.
struct Service {
    url: String,
    client: Client,
    /// Dropped with the service, which ends its tasks.
    _tasks: Tasks,
}

impl Service {
    async fn start(require_idempotency_key: bool) -> Self {
        let mut tasks = Tasks::new(CancellationToken::new());
        let state = AppState::from(app(&mut tasks, require_idempotency_key));
        let app = passbook_shared::http::app(
            "command",
            routes(state),
            Health::default(),
            Access::unrestricted(),
        )
        .unwrap();
        let listener =
            server::listen("127.0.0.1:0".parse().unwrap(), "COMMAND_ADDR").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = server::serve(HttpConfig::default(), listener, app, None, tasks.shutdown());
        tasks.spawn("the HTTP server", serve);
        Self { url, client: Client::new(), _tasks: tasks }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    fn put(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.put(format!("{}{path}", self.url)).json(body)
    }
}

/// Sends a request, and returns the status, the code and the first field of its problem.
async fn problem(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (status, text(&problem["code"]), text(&problem["errors"][0]["field"]))
}

fn expected(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.to_owned(), field.to_owned())
}

fn malformed(field: &str) -> (u16, String, String) {
    expected(400, "malformed_request", field)
}
