//! Databases of the first release, and the exchanges recorded on them.

use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::environment::Environment;
use crate::infrastructure::Kafka;

/// Command with its status, and the answer to its repeat.
#[derive(Debug, Deserialize)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Map<String, Value>,
    pub(super) body: Value,
    pub(super) status: u16,
    pub(super) repeated: Option<Repeated>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Repeated {
    pub(super) replayed: bool,
    pub(super) answer: String,
}

/// Query with its answer.
#[derive(Debug, Deserialize)]
pub(super) struct Read {
    pub(super) service: String,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) answer: Value,
}

fn fixture(name: &str) -> anyhow::Result<String> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/store-0.1.0").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

pub(super) fn fixtures<T: for<'a> Deserialize<'a>>(name: &str) -> anyhow::Result<Vec<T>> {
    fixture(name)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Creates an environment with both databases as the first release left them, and no topic.
pub(super) async fn old_environment(name: &'static str) -> anyhow::Result<Environment> {
    let environment = Environment::unprepared(name, Kafka::shared().await?).await?;
    for (url, dump) in [
        (&environment.database_url, "log.sql"),
        (&environment.projection_database_url, "views.sql"),
    ] {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(AssertSqlSafe(fixture(dump)?))
            .execute(&mut connection)
            .await
            .context(dump)?;
        connection.close().await?;
    }
    Ok(environment)
}

/// Puts all keys in quotes, as the first release stored keys that clients had quoted. Returns their
/// number.
pub(super) async fn quote_keys(environment: &Environment) -> anyhow::Result<u64> {
    let mut connection = PgConnection::connect(&environment.database_url).await?;
    let sql = "UPDATE passbook.commands SET idempotency_key = '\"' || idempotency_key || '\"'";
    Ok(sqlx::query(sql).execute(&mut connection).await?.rows_affected())
}
