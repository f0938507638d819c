//! Postgres and Kafka of the benchmarks, with a fresh store for each.

use std::sync::Arc;

use anyhow::{Context, ensure};
use embedded_postgres::{Cluster, Settings};
use in_process_broker::Broker;
use passbook_shared::partition::PartitionCount;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::Command;
use uuid::Uuid;

use crate::Measuring;

/// Number of files of 16 MiB that the cluster's WAL has at the start: the WAL of a minute of load.
const FILES_OF_WAL: i64 = 128;

/// A Postgres and a Kafka, given or started here.
pub(crate) struct Servers {
    database_url: String,
    kafka_brokers: Option<String>,
    cluster: Option<Cluster>,
    partitions: PartitionCount,
}

/// Fresh databases and a fresh topic for one benchmark, dropped by [`Environment::drop_databases`].
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) database_url: String,
    pub(crate) projection_database_url: String,
    pub(crate) kafka_brokers: String,
    pub(crate) kafka_topic: String,
    databases: [String; 2],
    admin_url: String,
    _broker: Option<Arc<Broker>>,
}

impl Servers {
    /// Connects to the given servers and starts missing ones.
    pub(crate) async fn prepare(options: &Measuring) -> anyhow::Result<Self> {
        let (kafka_brokers, partitions) = (options.kafka_brokers.clone(), options.partitions);
        if let Some(url) = &options.database_url {
            let database_url = url.clone();
            return Ok(Self { database_url, kafka_brokers, cluster: None, partitions });
        }
        let settings = Settings {
            data_dir: options.cluster.data_dir.join("bench"),
            binaries: options.cluster.postgres_bin.clone(),
            port: None,
        };
        let cluster = Cluster::start(&settings).await?;
        let database_url = cluster.admin_url("postgres");
        fill_wal(&database_url).await.context("cannot write the first WAL")?;
        Ok(Self { database_url, kafka_brokers, cluster: Some(cluster), partitions })
    }

    /// Describes the servers in one line.
    pub(crate) async fn describe(&self) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.database_url)
            .await
            .context("cannot connect to Postgres")?;
        let version: String =
            sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut connection).await?;
        let kafka = self
            .kafka_brokers
            .as_deref()
            .map_or_else(|| "the in-process broker".to_owned(), |k| format!("Kafka at {k}"));
        Ok(format!("PostgreSQL {version}, fsync {fsync}; {kafka}"))
    }

    /// Creates databases for both services, and a topic.
    pub(crate) async fn environment(&self) -> anyhow::Result<Environment> {
        let name = format!("passbook_bench_{}", Uuid::new_v4().simple());
        let databases = [name.clone(), format!("{name}_views")];
        let mut connection = PgConnection::connect(&self.database_url)
            .await
            .context("cannot connect to Postgres")?;
        for database in &databases {
            let sql = AssertSqlSafe(format!("CREATE DATABASE {database}"));
            sqlx::query(sql).execute(&mut connection).await.context("cannot create a database")?;
        }
        let url = |database: &str| -> anyhow::Result<String> {
            let options: PgConnectOptions = self.database_url.parse()?;
            Ok(sqlx::ConnectOptions::to_url_lossy(&options.database(database)).to_string())
        };
        let broker = match &self.kafka_brokers {
            Some(_) => None,
            None => Some(Arc::new(Broker::start(
                std::slice::from_ref(&name),
                self.partitions.get(),
                None,
            )?)),
        };
        let own = || broker.as_ref().map_or_else(String::new, |broker| broker.address().to_owned());
        let (database_url, projection_database_url) = (url(&databases[0])?, url(&databases[1])?);
        let partitions = self.partitions.to_string();
        let log = ["command-service", "--database-url", &database_url];
        migrate(&log, &["--partitions", &partitions]).await?;
        migrate(
            &["projection-service", "--projection-database-url", &projection_database_url],
            &[],
        )
        .await?;
        Ok(Environment {
            database_url,
            projection_database_url,
            kafka_brokers: self.kafka_brokers.clone().unwrap_or_else(own),
            kafka_topic: name,
            databases,
            admin_url: self.database_url.clone(),
            _broker: broker,
        })
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

/// Writes WAL and a checkpoint, unless the cluster has as much already. Afterwards Postgres reuses
/// the files. Creating one takes a commit 10 to 20 ms, which a server that has run for a while no
/// longer pays.
async fn fill_wal(database_url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database_url).await?;
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_ls_waldir()")
        .fetch_one(&mut connection)
        .await?;
    let missing = FILES_OF_WAL - there;
    if missing > 0 {
        let message = "SELECT count(pg_logical_emit_message(false, '', repeat('-', 1 << 20))) \
                       FROM generate_series(1, 16 * $1::bigint)";
        sqlx::query(message).bind(missing).execute(&mut connection).await?;
        sqlx::query("CHECKPOINT").execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

/// Creates the tables of a service.
async fn migrate(service: &[&str], options: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(service).args(["--log-level", "warn", "migrate"]).args(options);
    let status = command.status().await?;
    ensure!(status.success(), "`{} migrate` failed: {status}", service[0]);
    Ok(())
}

impl Environment {
    /// Drops the databases.
    pub(crate) async fn drop_databases(self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.admin_url).await?;
        for database in &self.databases {
            // Without FORCE, an open connection would make the drop fail.
            let sql = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
            sqlx::query(sql).execute(&mut connection).await?;
        }
        Ok(())
    }
}
