//! One Postgres cluster for all tests of a binary, with a database of its own for each log.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use command_service::log::store::{self, Store};
use passbook_shared::partition::Partition;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// Maximum number of databases in use. Each takes about a dozen of the cluster's 100 connections.
const MOST_DATABASES: usize = 6;

/// Empty log.
pub(crate) struct Database {
    /// URL as the owner of the tables.
    pub(crate) owner_url: String,
    /// URL as the role of the service.
    pub(crate) service_url: String,
    /// URL as a superuser.
    pub(crate) superuser_url: String,
    pub(crate) store: Store,
    name: String,
    _permit: SemaphorePermit<'static>,
}

/// The cluster, whose own database of the log is the template of all others.
struct Cluster {
    owner_url: String,
    service_url: String,
    superuser_url: String,
    store: Store,
}

impl Database {
    /// Copies the template, which the first call migrates.
    pub(crate) async fn create(partitions: Option<Partition>) -> Self {
        static PERMITS: Semaphore = Semaphore::const_new(MOST_DATABASES);
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let permit = PERMITS.acquire().await.unwrap();
        let cluster = CLUSTER.get_or_init(|| Cluster::start(partitions)).await;
        let name = format!("log_{}", CREATED.fetch_add(1, Ordering::Relaxed));
        let owner: PgConnectOptions = cluster.owner_url.parse().unwrap();
        let service: PgConnectOptions = cluster.service_url.parse().unwrap();
        let (owner, service, template) =
            (owner.get_username(), service.get_username(), service.get_database().unwrap());
        let mut superuser = PgConnection::connect(&cluster.superuser_url).await.unwrap();
        for statement in [
            format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}"),
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!("GRANT CONNECT ON DATABASE {name} TO {service}"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap();
        }
        superuser.close().await.unwrap();
        Self {
            owner_url: with_database(&cluster.owner_url, &name),
            service_url: with_database(&cluster.service_url, &name),
            superuser_url: with_database(&cluster.superuser_url, &name),
            store: cluster.store,
            name,
            _permit: permit,
        }
    }

    /// Drops the database, and terminates its connections.
    pub(crate) async fn drop(self) {
        let url = with_database(&self.superuser_url, "postgres");
        let mut superuser = PgConnection::connect(&url).await.unwrap();
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut superuser).await.unwrap();
        superuser.close().await.unwrap();
    }
}

impl Cluster {
    async fn start(partitions: Option<Partition>) -> Self {
        let urls = tokio::task::spawn_blocking(start).await.unwrap();
        let [service_url, owner_url, _, _, superuser_url] = urls.try_into().unwrap();
        let service: PgConnectOptions = service_url.parse().unwrap();
        let owner: PgConnectOptions = owner_url.parse().unwrap();
        let store = store::prepare(&owner, service.get_username(), partitions).await.unwrap();
        Self { owner_url, service_url, superuser_url, store }
    }
}

/// Starts `passbook postgres` and returns the URLs that it prints.
fn start() -> Vec<String> {
    let data = std::env::temp_dir().join(format!("passbook-tests-{}", std::process::id()));
    // Statics are never dropped. However this process ends, the pipe to the shell closes, Postgres
    // stops, and the shell removes its files.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" postgres --until-stdin-closes --data-dir \"$1\"; rm -rf \"$1\""]);
    shell.arg(env!("CARGO_BIN_EXE_passbook")).arg(data).env("RUST_LOG", "warn");
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    // Ctrl-C reaches the process group of the tests, and must not end the shell before its work.
    shell.process_group(0);
    let mut shell = shell.spawn().unwrap();
    let output = BufReader::new(shell.stdout.take().unwrap());
    let urls = output.lines().take(5).map(Result::unwrap).collect();
    std::mem::forget(shell);
    urls
}

fn with_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}
