//! Startup: from settings to running tasks.

mod store;
mod tasks;

use anyhow::Context;
use passbook_shared::access::commands;
use passbook_shared::health::Health;
use passbook_shared::http::healthcheck::healthcheck;
use passbook_shared::http::{app, audit, server};
use passbook_shared::shutdown::{Service, Stop, Tasks, on_signal};
use passbook_shared::telemetry;

use self::store::wait_for_store;
use self::tasks::Startup;
use crate::config::{Action, Cli, Config, RestoreAction};
use crate::http;
use crate::log::clock::LogClock;
use crate::log::snapshot_key::SnapshotKey;
use crate::log::store::SCHEMA;
use crate::metrics;
use crate::migrate::migrate;
use crate::operate;
use crate::restore::standing::Standing;
use crate::verify::verify;

/// Runs the program until it ends.
///
/// # Errors
/// The failure that kept the program from starting, or ended it.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.action {
        // These start no log of their own.
        Some(Action::Healthcheck(client)) => {
            return healthcheck(cli.config.command_addr, client.key_file.as_ref()).await;
        }
        Some(Action::Restore(RestoreAction::Accept(options))) => {
            return operate::accept_restore(cli.config.command_addr, options).await;
        }
        Some(Action::Keys(options)) => return commands::run(&options),
        Some(Action::Migrate(_) | Action::Verify) | None => {}
    }
    telemetry::start_log(&cli.log)?;
    if let Some(Action::Migrate(options)) = &cli.action {
        return migrate(&cli.config.with_passwords().database_url, options).await.map(drop);
    }
    if let Some(Action::Verify) = cli.action {
        return verify(&cli.config.with_passwords().database_url).await;
    }
    let stop = on_signal(cli.config.http.drain())?;
    match stop.draining.run_until_cancelled(start(cli.config, stop.clone())).await {
        Some(service) => service?.tasks.wait().await,
        // The signal came while startup was waiting for Postgres.
        None => Ok(()),
    }
}

/// Starts the service, which runs until `stop`.
///
/// # Errors
/// A setting is wrong, the port is taken, or Postgres is unreachable or fails.
pub async fn start(config: Config, stop: Stop) -> anyhow::Result<Service> {
    // Checked before anything is opened, so that a wrong setting fails at once.
    config.kafka.check()?;
    let config = config.with_passwords();
    let snapshot_key = snapshot_key(&config)?;
    let mut access = config.access.read(config.command_addr)?;
    config.kafka.warn_unless_authenticated();
    telemetry::metrics();
    metrics::register();
    // Before the store is found, so that health answers while the service waits for it.
    let listener = server::listen(config.command_addr, "COMMAND_ADDR (--command-addr)").await?;
    let local_addr = listener.local_addr()?;
    let health = Health::new("command").until(stop.draining.clone());
    let mut tasks = Tasks::new(stop.shutdown.clone());
    // Also before the store is found: metrics and reasons of readiness need a key.
    access.watch(&mut tasks, &health);
    let (store, listener) =
        wait_for_store(&config, listener, &health, &access, &stop.shutdown).await?;
    let pool = tasks::read_pool(&config, config.read_connections);
    let standing = Standing::new(health.clone());
    let refreshed = standing.refresh(&mut *pool.acquire().await?).await;
    refreshed.context("the store's epoch cannot be read")?;
    let clock = LogClock::read(&pool, store.partitions).await;
    let clock = clock.context("Postgres's clock cannot be read")?;

    let mut startup = Startup {
        config,
        store,
        health: health.clone(),
        standing,
        clock,
        pool,
        shutdown: stop.shutdown.clone(),
        tasks,
    };
    let lanes = startup.start_lanes(&snapshot_key);
    startup.start_upkeep(&lanes);
    startup.start_checks();
    let routes = http::routes(startup.app(lanes, snapshot_key).into());
    let Startup { mut tasks, config, .. } = startup;
    let audit = audit::start(&SCHEMA, &config.database_url, &mut access, &mut tasks, &health);
    let app = app("command", routes.merge(audit), health, access)?;
    tasks.spawn("the HTTP server", server::serve(config.http, listener, app, stop));
    tracing::info!(
        address = %local_addr,
        store.id = %store.store_id,
        partitions = store.partitions.get(),
        "command-service is up"
    );
    Ok(Service { local_addr, tasks })
}

fn snapshot_key(config: &Config) -> anyhow::Result<SnapshotKey> {
    Ok(config.snapshot_key()?.unwrap_or_else(|| {
        tracing::info!("SNAPSHOT_KEY is not set: snapshots of other processes are ignored");
        SnapshotKey::random()
    }))
}
