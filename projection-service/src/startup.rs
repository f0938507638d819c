//! Start-up and shutdown of the service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use passbook_shared::health::Health;
use passbook_shared::http::healthcheck::healthcheck;
use passbook_shared::http::ops::OpsListener;
use passbook_shared::http::{self as shared_http, server};
use passbook_shared::schema::Standing;
use passbook_shared::shutdown::{self, CancellationToken, Service, Stop, Tasks};
use passbook_shared::store_error::{self, is_connection_lost, is_misconfigured, within};
use passbook_shared::tls::client;
use passbook_shared::tls::server::ServerTls;
use passbook_shared::{telemetry, trace};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::agreement::guard::Guard;
use crate::config::{Action, Cli, Config};
use crate::consumer::failure_rate::Limit;
use crate::consumer::topic_lag::TopicLag;
use crate::consumer::topic_watch::{self, Watched};
use crate::consumer::{self, Consumer};
use crate::feed::Feed;
use crate::http::{self, AppState, Log};
use crate::metrics;
use crate::migrate::migrate;
use crate::operate;
use crate::quarantine::check::QuarantineCheck;
use crate::replay::{self, ReplayDeps};
use crate::store::Views;
use crate::store::schema::SCHEMA;
use crate::verify;
use crate::verify::jobs::Jobs;
use crate::waiters::Waiters;

/// Pause before the next attempt to reach Postgres.
const RETRY: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the service until a signal arrives, or runs the subcommand.
///
/// # Errors
/// A setting is invalid, or a task of the service failed.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match &cli.action {
        None | Some(Action::Migrate(_)) => {}
        Some(Action::Healthcheck) => return healthcheck(cli.config.projection_ops_addr).await,
        Some(Action::Replay(options)) => {
            return operate::replay(cli.config.projection_addr, &cli.config.tls, options).await;
        }
        Some(Action::Verify(client)) => {
            return operate::verify(cli.config.projection_addr, &cli.config.tls, client).await;
        }
    }
    telemetry::start_log(&cli.log)?;
    if let Some(Action::Migrate(options)) = &cli.action {
        return migrate(&cli.config.with_passwords().projection_database_url, options).await;
    }
    let _traces = trace::start("projection-service")?;
    let stop = shutdown::on_signal(cli.config.http.drain())?;
    start(cli.config, stop).await?.tasks.wait().await
}

/// Starts the service, which answers requests at once. Until Postgres and Kafka are reached,
/// readiness names the missing one.
///
/// # Errors
/// A setting is invalid, or the address is in use.
pub async fn start(config: Config, stop: Stop) -> anyhow::Result<Service> {
    config.kafka.check()?;
    let (addr, config) = (config.projection_addr, config.with_passwords());
    let (mut access, tls) = (config.access.read(addr)?, config.tls.open(addr)?);
    let feed = feed(&config, tls.clone())?;
    metrics::register();
    // An address in use ends the start before any task runs.
    let listener = server::listen(addr, "PROJECTION_ADDR (--projection-addr)").await?;
    let local_addr = listener.local_addr()?;
    let health = unready().until(stop.draining.clone());
    let OpsListener { local_addr: ops_addr, serving } = operators(&config, &health).await?;
    let (views, verifications) = (Views::default(), Arc::<Jobs>::default());
    let (waiting, ends) = (Arc::<Waiters>::default(), Arc::<TopicLag>::default());
    let mut tasks = Tasks::new(stop.shutdown.clone()).keeping(serving);
    let log = Log { feed: feed.clone(), topic: config.kafka.kafka_topic.as_str().into() };
    let state =
        AppState::new(views.clone(), waiting.clone(), ends.clone(), verifications.clone(), log);
    access.watch(&mut tasks, &health);
    ServerTls::keep(tls.as_ref(), &mut tasks, &health);
    let database = config.projection_database_url.clone();
    let audit = shared_http::audit::start(&SCHEMA, &database, &mut access, &mut tasks, &health);
    let routes = http::routes(state).merge(audit);
    let router = shared_http::app("projection", routes, health.clone(), access)?;
    tasks.spawn("http", server::serve(config.http, listener, router, tls, stop));
    tasks.spawn("first connection to Kafka", config.kafka.clone().accepted(tasks.shutdown()));
    let watched = watched(&config, &feed, &views, &ends, &health);
    let compared = verify::VerifyDeps { database, feed: feed.clone() };
    let consumption = Consumption {
        config,
        feed,
        views: views.clone(),
        waiting,
        ends,
        health,
        quarantine: watched.quarantine.clone(),
    };
    tasks.spawn("topic watch", topic_watch::watch(watched, tasks.shutdown()));
    tasks.spawn("consumer", consumption.run(tasks.shutdown()));
    tasks.spawn("verify", verify::run(compared, verifications, tasks.shutdown()));
    tasks.at_end(async move { views.close().await });

    tracing::info!(addr = %local_addr, operators = %ops_addr, "projection-service is listening");
    Ok(Service { local_addr, ops_addr, tasks })
}

fn watched(
    config: &Config,
    feed: &Feed,
    views: &Views,
    ends: &Arc<TopicLag>,
    health: &Health,
) -> Watched {
    Watched {
        kafka: config.kafka.clone(),
        group: config.kafka_group.clone(),
        ends: Arc::clone(ends),
        views: views.clone(),
        feed: feed.clone(),
        stall: Duration::from_secs(config.view_stall_seconds),
        quarantine: QuarantineCheck::new(health.clone()),
        health: health.clone(),
    }
}

async fn operators(config: &Config, health: &Health) -> anyhow::Result<OpsListener> {
    let variable = "PROJECTION_OPS_ADDR (--projection-ops-addr)";
    OpsListener::start(config.projection_ops_addr, variable, health).await
}

fn feed(config: &Config, own: Option<ServerTls>) -> anyhow::Result<Feed> {
    let tls = client::trusting(config.command_service_ca_file.as_deref(), own);
    let tls = tls.context("COMMAND_SERVICE_CA_FILE (--command-service-ca-file)")?;
    Feed::new(&config.command_service()?, config.command_service_key_file.as_ref(), tls)
        .context("failed to set up the HTTP client")
}

fn unready() -> Health {
    let health = Health::new("projection");
    health.failing("postgres", "not reached yet");
    health.failing("kafka", "not reached yet");
    health
}

/// Dependencies of the consumption of the topic.
struct Consumption {
    config: Config,
    feed: Feed,
    views: Views,
    waiting: Arc<Waiters>,
    ends: Arc<TopicLag>,
    health: Health,
    quarantine: QuarantineCheck,
}

impl Consumption {
    /// Waits for the database, then consumes the topic and runs replays.
    async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { config, feed, views, waiting, ends, health, quarantine } = self;
        config.kafka.warn_unless_authenticated();
        let database = config.projection_database_url;
        tokio::select! {
            prepared = prepare(database.clone(), health.clone()) => prepared?,
            () = shutdown.clone().cancelled_owned() => return Ok(()),
        }
        // Readiness stops naming Postgres only once queries have a pool.
        views.open(&database, config.projection_connections);
        health.ok("postgres");
        // One more than processors: a partition waits for Postgres while another is decoded.
        let at_once = 1 + std::thread::available_parallelism().map_or(1, usize::from);
        let deps = ReplayDeps {
            kafka: config.kafka.clone(),
            database: database.clone(),
            feed: feed.clone(),
            at_once,
        };
        let guard = Arc::new(Guard::new(deps.clone(), health.clone()));
        let (percent, window) = (config.quarantine_limit_percent, config.quarantine_window);
        let consumer = Consumer {
            kafka: config.kafka,
            group: config.kafka_group,
            group_instance: config.kafka_group_instance,
            database,
            max_batch: config.apply_batch as usize,
            pace: Duration::from_millis(config.apply_pace_ms),
            limit: Limit { percent, window },
            feed,
            guard,
            waiting,
            ends,
            health,
            quarantine,
        };
        let mut tasks = Tasks::new(shutdown);
        consumer::spawn(consumer, &mut tasks);
        tasks.spawn("replays", replay::run(deps, tasks.shutdown()));
        tasks.wait().await
    }
}

/// Waits for Postgres, and for the migration job.
async fn prepare(database: PgConnectOptions, health: Health) -> anyhow::Result<()> {
    loop {
        match standing(&database).await {
            Ok(Standing::Usable) => return Ok(()),
            Ok(Standing::Waiting(why)) => health.failing("postgres", why),
            // No wait makes this build fit the newer schema.
            Ok(Standing::TooNew(why)) => bail!("PROJECTION_DATABASE_URL: {why}"),
            Err(error) if is_connection_lost(&error) && !is_misconfigured(&error) => {
                health.failing("postgres", store_error::reason(&error));
            }
            // Any other refusal, such as a wrong password, needs an operator.
            Err(error) => {
                return Err(error).context("PROJECTION_DATABASE_URL: Postgres cannot be used");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Returns the state of the schema. Opens a separate connection, because a pool would retry and
/// hide the reason of a failure.
async fn standing(database: &PgConnectOptions) -> sqlx::Result<Standing> {
    let looking = async {
        let mut connection =
            database.clone().application_name("passbook-projection-start").connect().await?;
        let standing = SCHEMA.standing(&mut connection).await?;
        connection.close().await?;
        Ok(standing)
    };
    within(CONNECT_TIMEOUT, looking).await
}
