//! Startup: from settings to running tasks.

mod store;
mod tasks;

use anyhow::Context;
use passbook_shared::access::commands;
use passbook_shared::health::Health;
use passbook_shared::http::healthcheck::healthcheck;
use passbook_shared::http::ops::OpsListener;
use passbook_shared::http::{app, audit, server};
use passbook_shared::shutdown::{Service, Stop, Tasks, on_signal};
use passbook_shared::tls::server::ServerTls;
use passbook_shared::{telemetry, trace};
use sqlx::PgPool;

use self::store::wait_for_store;
use self::tasks::Startup;
use crate::config::{Action, Cli, Config, RestoreAction};
use crate::http;
use crate::log::clock::LogClock;
use crate::log::snapshot_key::SnapshotKey;
use crate::log::store::{SCHEMA, Store};
use crate::metrics;
use crate::migrate::migrate;
use crate::operate;
use crate::quotas::Quotas;
use crate::restore::standing::Standing;
use crate::verify::verify;

/// Runs the program until it ends.
///
/// # Errors
/// The failure that kept the program from starting, or ended it.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.action {
        // These start no log of their own.
        Some(Action::Healthcheck) => return healthcheck(cli.config.command_ops_addr).await,
        Some(Action::Restore(RestoreAction::Accept(options))) => {
            return operate::accept_restore(cli.config.command_addr, &cli.config.tls, options)
                .await;
        }
        Some(Action::Keys(options)) => return commands::run(&options),
        Some(Action::Setup(options)) => return passbook_setup::run(&options),
        Some(Action::Migrate(_) | Action::Verify) | None => {}
    }
    telemetry::start_log(&cli.log)?;
    if let Some(Action::Migrate(options)) = &cli.action {
        return migrate(&cli.config.with_passwords().database_url, options).await.map(drop);
    }
    if let Some(Action::Verify) = cli.action {
        return verify(&cli.config.with_passwords().database_url).await;
    }
    let _traces = trace::start("command-service")?;
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
    let addr = config.command_addr;
    let (mut access, tls) = (config.access.read(addr)?, config.tls.open(addr)?);
    config.kafka.warn_unless_authenticated();
    metrics::register();
    // Before the store is found, so that health answers while the service waits for it.
    let listener = server::listen(addr, "COMMAND_ADDR (--command-addr)").await?;
    let local_addr = listener.local_addr()?;
    let health = Health::new("command").until(stop.draining.clone());
    let OpsListener { local_addr: ops_addr, serving } = operators(&config, &health).await?;
    let mut tasks = Tasks::new(stop.shutdown.clone()).keeping(serving);
    // Also before the store is found: reasons of readiness need a key.
    access.watch(&mut tasks, &health);
    ServerTls::keep(tls.as_ref(), &mut tasks, &health);
    let (store, listener) =
        wait_for_store(&config, listener, &health, &access, tls.clone(), &stop.shutdown).await?;
    let pool = tasks::read_pool(&config, config.read_connections);
    let (standing, clock) = state_of_log(&pool, store, &health).await?;
    let mut startup = Startup {
        config,
        store,
        health: health.clone(),
        standing,
        clock,
        pool,
        quotas: Quotas::new(access.keys.clone()),
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
    tasks.spawn("the HTTP server", server::serve(config.http, listener, app, tls, stop));
    let (id, partitions) = (store.store_id, store.partitions.get());
    tracing::info!(
        address = %local_addr, operators = %ops_addr, store.id = %id, partitions,
        "command-service is up"
    );
    Ok(Service { local_addr, ops_addr, tasks })
}

async fn state_of_log(
    pool: &PgPool,
    store: Store,
    health: &Health,
) -> anyhow::Result<(Standing, LogClock)> {
    let standing = Standing::new(health.clone());
    let refreshed = standing.refresh(&mut *pool.acquire().await?).await;
    refreshed.context("the store's epoch cannot be read")?;
    let clock = LogClock::read(pool, store.partitions).await;
    Ok((standing, clock.context("Postgres's clock cannot be read")?))
}

async fn operators(config: &Config, health: &Health) -> anyhow::Result<OpsListener> {
    let variable = "COMMAND_OPS_ADDR (--command-ops-addr)";
    OpsListener::start(config.command_ops_addr, variable, health).await
}

fn snapshot_key(config: &Config) -> anyhow::Result<SnapshotKey> {
    Ok(config.snapshot_key()?.unwrap_or_else(|| {
        tracing::info!("SNAPSHOT_KEY is not set: snapshots of other processes are ignored");
        SnapshotKey::random()
    }))
}
