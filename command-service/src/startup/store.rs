//! Waiting for a usable store. Until then, the HTTP server answers with the reason for waiting.

use std::time::Duration;

use anyhow::{Context, bail};
use passbook_shared::health::Health;
use passbook_shared::http::gate::Access;
use passbook_shared::http::server;
use passbook_shared::schema;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error::{self, is_connection_lost, is_misconfigured, within};
use passbook_shared::tls::server::ServerTls;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::log::store::{self, Store};

/// Maximum time to wait for an unreachable Postgres.
const STORE_WAIT: Duration = Duration::from_secs(60);
/// Maximum time to connect to Postgres.
const CONNECT: Duration = Duration::from_secs(5);
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Waits for the store; meanwhile answers requests with the reason for waiting.
pub(super) async fn wait_for_store(
    config: &Config,
    listener: TcpListener,
    health: &Health,
    access: &Access,
    tls: Option<ServerTls>,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Store, TcpListener)> {
    let listener = listener.into_std()?;
    let until_found = shutdown.child_token();
    // A clone, so that the socket stays open from one server to the next.
    let meanwhile = TcpListener::from_std(listener.try_clone()?)?;
    let app = passbook_shared::http::waiting("command", health.clone(), access.clone())?;
    let answering =
        tokio::spawn(server::serve(config.http, meanwhile, app, tls, until_found.clone()));
    let found = find(config, health).await;
    until_found.cancel();
    answering.await??;
    Ok((found?, TcpListener::from_std(listener)?))
}

/// Waits for Postgres and for the migration job, and returns the store.
async fn find(config: &Config, health: &Health) -> anyhow::Result<Store> {
    let mut deadline = Instant::now() + STORE_WAIT;
    health.failing("postgres", "not reached yet");
    loop {
        match find_store(&config.database_url).await {
            Ok(StoreState::Store(store)) => return Ok(store),
            Ok(StoreState::Waiting(why)) => {
                health.failing("postgres", why);
                // Postgres answers, so only the migration job is missing: that may take any time.
                deadline = Instant::now() + STORE_WAIT;
            }
            Ok(StoreState::TooNew(why)) => bail!("DATABASE_URL: {why}"),
            Err(error)
                if is_misconfigured(&error)
                    || !is_connection_lost(&error)
                    || Instant::now() > deadline =>
            {
                return Err(error).context("DATABASE_URL: Postgres cannot be used");
            }
            Err(error) => {
                health.failing("postgres", store_error::reason(&error));
            }
        }
        sleep(CHECK_EVERY).await;
    }
}

/// State of the store.
enum StoreState {
    Store(Store),
    Waiting(String),
    TooNew(String),
}

/// Looks for a store that this build can use. Does not use a pool, which would hide why it cannot
/// connect.
async fn find_store(database: &PgConnectOptions) -> sqlx::Result<StoreState> {
    let looking = async {
        let mut connection = PgConnection::connect_with(database).await?;
        let found = match store::SCHEMA.standing(&mut connection).await? {
            schema::Standing::Usable => match store::find(&mut connection).await? {
                Some(store) => StoreState::Store(store),
                None => StoreState::Waiting(format!(
                    "there is no store yet: run `{}`",
                    store::SCHEMA.job
                )),
            },
            schema::Standing::Waiting(why) => StoreState::Waiting(why),
            schema::Standing::TooNew(why) => StoreState::TooNew(why),
        };
        connection.close().await?;
        Ok(found)
    };
    within(CONNECT, looking).await
}
