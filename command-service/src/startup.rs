//! From settings to running tasks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use passbook_shared::health::Health;
use passbook_shared::http::healthcheck::healthcheck;
use passbook_shared::http::server;
use passbook_shared::schema;
use passbook_shared::shutdown::{CancellationToken, Service, Tasks, on_signal};
use passbook_shared::store_error::{self, is_connection_lost, within};
use passbook_shared::telemetry;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::config::lanes::LaneConfig;
use crate::config::{Action, Cli, Config, RestoreAction};
use crate::http::turns::Turns;
use crate::http::{self, App};
use crate::lanes::{LaneDeps, Lanes};
use crate::log::check::Checker;
use crate::log::clock::LogClock;
use crate::log::read::LogReader;
use crate::log::snapshot_key::SnapshotKey;
use crate::log::snapshots::{self, Snapshots};
use crate::log::store::{self, Store};
use crate::metrics;
use crate::migrate::migrate;
use crate::operate;
use crate::relay::{self, Relay};
use crate::restore::desk::Desk;
use crate::restore::standing::Standing;
use crate::upkeep::Upkeep;
use crate::verify::verify;
use crate::writes::Writes;

/// How long to wait for a Postgres that is not there yet.
const STORE_WAIT: Duration = Duration::from_secs(60);
/// For reading one partition of the log.
const FEED_CONNECTIONS: u32 = 2;
/// The most that people's reads do at once.
const READS_AT_ONCE: usize = 2;
/// For reading what is to be reversed.
const ENTRY_CONNECTIONS: u32 = 2;
/// How long a connection to Postgres may take.
const CONNECT: Duration = Duration::from_secs(5);
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Runs the program to its end.
///
/// # Errors
/// What kept it from starting, or ended it.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.action {
        Some(Action::Healthcheck) => return healthcheck(cli.config.command_addr).await,
        Some(Action::Restore(RestoreAction::Accept(options))) => {
            return operate::accept_restore(cli.config.command_addr, options).await;
        }
        Some(Action::Migrate(_) | Action::Verify) | None => {}
    }
    telemetry::start_log(&cli.log)?;
    if let Some(Action::Migrate(options)) = &cli.action {
        return migrate(&cli.config.with_passwords().database_url, options).await.map(drop);
    }
    if let Some(Action::Verify) = cli.action {
        return verify(&cli.config.with_passwords().database_url).await;
    }
    let shutdown = on_signal()?;
    match shutdown.run_until_cancelled(start(cli.config, shutdown.clone())).await {
        Some(service) => service?.tasks.wait().await,
        // It was still waiting for Postgres.
        None => Ok(()),
    }
}

/// Starts the service; it ends when `shutdown` is cancelled.
///
/// # Errors
/// A setting is wrong, the port is taken, or Postgres can't be reached or refuses.
pub async fn start(config: Config, shutdown: CancellationToken) -> anyhow::Result<Service> {
    config.kafka.check()?;
    let config = config.with_passwords();
    let snapshot_key = snapshot_key(&config)?;
    telemetry::metrics();
    metrics::register();
    let listener = server::listen(config.command_addr, "COMMAND_ADDR (--command-addr)").await?;
    let local_addr = listener.local_addr()?;
    let health = Health::new("command");
    let (store, listener) = prepare_and_answer(&config, listener, &health, &shutdown).await?;
    let pool = read_pool(&config, config.read_connections);
    let standing = Standing::new(health.clone());
    standing
        .refresh(&mut *pool.acquire().await?)
        .await
        .context("the store's epoch can't be read")?;

    let mut tasks = Tasks::new(shutdown.clone());
    let (to_relay, from_lanes) = relay::hand_over();
    let (to_snapshots, snapshots) = snapshots::queue(snapshot_key.clone());
    let lane_config = LaneConfig::from(&config);
    let writes = Writes::default();
    // The projection's too: people who search the log don't keep holes from being filled.
    let log = LogReader::new(
        pool.clone(),
        read_pool(&config, FEED_CONNECTIONS),
        store,
        Snapshots::only_read(snapshot_key),
    );
    // And commands don't wait for readers.
    let entries = read_pool(&config, ENTRY_CONNECTIONS);
    let clock =
        LogClock::read(&pool, store.partitions).await.context("Postgres's clock can't be read")?;
    // A connection of its own: the time is not to wait for readers.
    tasks.spawn("the log's clock", clock.clone().run(read_pool(&config, 1), shutdown.clone()));
    let deps = LaneDeps {
        partitions: store.partitions,
        clock: clock.clone(),
        pool: entries,
        relay: to_relay,
        snapshots: to_snapshots,
        writes: writes.clone(),
        standing: standing.clone(),
    };
    let lanes = Lanes::start(deps, &lane_config, &mut tasks);
    let relay = Relay {
        kafka: config.kafka.clone(),
        connect: lane_config
            .connect
            .clone()
            .application_name("passbook-relay")
            .options([("statement_timeout", "30s")]),
        store,
        standing: standing.clone(),
        linger_ms: config.relay_linger_ms,
        health: health.clone(),
    };
    tasks.spawn("the relay", relay.run(from_lanes, shutdown.clone()));
    let upkeep = Upkeep {
        connect: config
            .database_url
            .clone()
            .application_name("passbook-upkeep")
            .options([("statement_timeout", "30s")]),
        lanes: lanes.clone(),
        keep_keys: config.keep_keys(),
    };
    tasks.spawn("the upkeep", upkeep.run(shutdown.clone()));
    tasks.spawn("the snapshots", snapshots::run(pool, snapshots));
    let check = config.database_url.clone().application_name("passbook-check");
    tasks.spawn(
        "the write check",
        writes.check(check, store.partitions, health.clone(), shutdown.clone()),
    );
    let forks = read_pool(&config, 1);
    tasks.spawn("the fork check", standing.clone().keep(forks, shutdown.clone()));
    let verify = config
        .database_url
        .clone()
        .application_name("passbook-verify")
        .options([("statement_timeout", "30s")]);
    let checker = Arc::new(Checker::new(verify, store.partitions));
    let desk =
        Arc::new(Desk::new(config.kafka.clone(), store, read_pool(&config, 1), standing.clone()));
    let app = App {
        feed_turns: Turns::new(FEED_CONNECTIONS as usize, lanes.clone()),
        read_turns: Turns::new(READS_AT_ONCE, lanes.clone()),
        lanes,
        log,
        checker,
        standing,
        clock,
        desk,
        topic_document: http::topic_document(&config.kafka.kafka_topic, store.partitions)
            .to_string()
            .into(),
        require_idempotency_key: config.require_idempotency_key,
    };
    let app = passbook_shared::http::app("command", http::routes(app.into()), health);
    tasks.spawn("the HTTP server", server::serve(config.http, listener, app, shutdown));
    tracing::info!(address = %local_addr, store.id = %store.store_id, partitions = store.partitions, "command-service is up");
    Ok(Service { local_addr, tasks })
}

fn snapshot_key(config: &Config) -> anyhow::Result<SnapshotKey> {
    Ok(config.snapshot_key()?.unwrap_or_else(|| {
        tracing::info!("SNAPSHOT_KEY is not given: snapshots of other processes are passed over");
        SnapshotKey::random()
    }))
}

/// Prepares the store; meanwhile requests are answered with what is waited for.
async fn prepare_and_answer(
    config: &Config,
    listener: TcpListener,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Store, TcpListener)> {
    let listener = listener.into_std()?;
    let until_prepared = shutdown.child_token();
    let meanwhile = TcpListener::from_std(listener.try_clone()?)?;
    let app = passbook_shared::http::waiting("command", health.clone());
    let answering =
        tokio::spawn(server::serve(config.http, meanwhile, app, until_prepared.clone()));
    let prepared = prepare(config, health).await;
    until_prepared.cancel();
    answering.await??;
    Ok((prepared?, TcpListener::from_std(listener)?))
}

/// Waits for Postgres, and for the job that makes the schema; returns the store.
async fn prepare(config: &Config, health: &Health) -> anyhow::Result<Store> {
    let mut deadline = Instant::now() + STORE_WAIT;
    health.failing("postgres", "not reached yet");
    loop {
        match find_store(&config.database_url).await {
            Ok(Found::Store(store)) => return Ok(store),
            Ok(Found::Waiting(why)) => {
                health.failing("postgres", why);
                deadline = Instant::now() + STORE_WAIT;
            }
            Ok(Found::TooNew(why)) => bail!("DATABASE_URL: {why}"),
            Err(error) if !is_connection_lost(&error) || Instant::now() > deadline => {
                return Err(error).context("DATABASE_URL: Postgres can't be used");
            }
            Err(error) => {
                health.failing("postgres", store_error::reason(&error));
            }
        }
        sleep(CHECK_EVERY).await;
    }
}

enum Found {
    Store(Store),
    Waiting(String),
    TooNew(String),
}

/// Looks for a store that this build can use. Not by a pool, which would keep to itself why it can't connect.
async fn find_store(database: &PgConnectOptions) -> sqlx::Result<Found> {
    let looking = async {
        let mut connection = PgConnection::connect_with(database).await?;
        let found = match store::SCHEMA.standing(&mut connection).await? {
            schema::Standing::Usable => match store::find(&mut connection).await? {
                Some(store) => Found::Store(store),
                None => {
                    Found::Waiting(format!("there is no store yet: run `{}`", store::SCHEMA.job))
                }
            },
            schema::Standing::Waiting(why) => Found::Waiting(why),
            schema::Standing::TooNew(why) => Found::TooNew(why),
        };
        connection.close().await?;
        Ok(found)
    };
    within(CONNECT, looking).await
}

fn read_pool(config: &Config, connections: u32) -> PgPool {
    let options = config
        .database_url
        .clone()
        .application_name("passbook-read")
        .options([("statement_timeout", "30s")]);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(config.store_patience())
        .connect_lazy_with(options)
}
