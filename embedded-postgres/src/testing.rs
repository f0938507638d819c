//! Databases for tests: one cluster per process, in which each test has a copy of a migrated
//! database.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::databases::{self, LOG, ServiceDatabase, VIEWS};
use crate::secrets::Secrets;
use crate::{Cluster, Settings};

/// Maximum number of copies in use. Each takes about a dozen of the cluster's 100 connections.
const MOST_COPIES: usize = 6;

/// Script that waits for the end of this process, then stops Postgres and removes its files `$0`.
const CLEAN_UP: &str = r#"
    cat >/dev/null
    file="$0/postgres/data/postmaster.pid"
    read -r pid <"$file" && kill -QUIT "$pid"
    while [ -e "$file" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    rm -rf "$0"
"#;

/// Returns the passwords of a database's owner and of its service's role.
type Passwords = fn(&Secrets) -> (&str, &str);

/// A service's database in a cluster of its own, to be migrated once and then copied.
///
/// The cluster ends with this process, even if the template is in a static and never dropped.
#[derive(Debug)]
pub struct Template {
    cluster: Cluster,
    database: ServiceDatabase,
    passwords: Passwords,
    permits: Arc<Semaphore>,
    copies: AtomicUsize,
    // Its standard input closes with this process.
    _clean_up: Child,
}

/// URLs of a database.
#[derive(Debug)]
pub struct Urls {
    /// URL as the owner of the tables.
    pub owner: String,
    /// URL as the role of the service.
    pub service: String,
    /// URL as the superuser.
    pub superuser: String,
}

/// Copy of a template.
#[derive(Debug)]
pub struct Database {
    /// URLs of the copy.
    pub urls: Urls,
    name: String,
    maintenance_url: String,
    _permit: OwnedSemaphorePermit,
}

impl Template {
    /// Starts a cluster whose template is an empty log.
    ///
    /// # Errors
    /// The cluster does not start.
    pub async fn log() -> anyhow::Result<Self> {
        Self::start(LOG, |secrets| (&secrets.owner, &secrets.command)).await
    }

    /// Starts a cluster whose template is an empty database of views.
    ///
    /// # Errors
    /// The cluster does not start.
    pub async fn views() -> anyhow::Result<Self> {
        Self::start(VIEWS, |secrets| (&secrets.projection_owner, &secrets.projection)).await
    }

    async fn start(database: ServiceDatabase, passwords: Passwords) -> anyhow::Result<Self> {
        let data_dir = std::env::temp_dir().join(format!("passbook-tests-{}", std::process::id()));
        let mut clean_up = Command::new("sh");
        clean_up.args(["-c", CLEAN_UP]).arg(&data_dir).stdin(Stdio::piped());
        // Ctrl-C reaches the process group of the tests, and must not end the script.
        let clean_up = clean_up.process_group(0).spawn().context("cannot run sh")?;
        let cluster = Cluster::start(&Settings { data_dir, ..Settings::default() }).await?;
        Ok(Self {
            cluster,
            database,
            passwords,
            permits: Arc::new(Semaphore::new(MOST_COPIES)),
            copies: AtomicUsize::new(0),
            _clean_up: clean_up,
        })
    }

    /// Returns the URLs of the template itself.
    pub fn urls(&self) -> Urls {
        self.urls_of(self.database.name)
    }

    fn urls_of(&self, name: &str) -> Urls {
        let (cluster, ServiceDatabase { owner, role, .. }) = (&self.cluster, self.database);
        let (of_owner, of_role) = (self.passwords)(&cluster.secrets);
        Urls {
            owner: cluster.url(owner, of_owner, name),
            service: cluster.url(role, of_role, name),
            superuser: cluster.admin_url(name),
        }
    }

    /// Copies the template, to which no connection may be open. Waits while too many copies are in
    /// use.
    ///
    /// # Errors
    /// Postgres refuses.
    pub async fn copy(&self) -> anyhow::Result<Database> {
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let ServiceDatabase { name: template, owner, .. } = self.database;
        let name = format!("{template}_{}", self.copies.fetch_add(1, Ordering::Relaxed));
        let maintenance_url = self.cluster.admin_url("postgres");
        let mut superuser = PgConnection::connect(&maintenance_url).await?;
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}");
        databases::run(&mut superuser, create).await?;
        databases::restrict(&mut superuser, &name, self.database).await?;
        superuser.close().await?;
        let urls = self.urls_of(&name);
        Ok(Database { urls, name, maintenance_url, _permit: permit })
    }
}

impl Database {
    /// Drops the database, and terminates its connections.
    ///
    /// # Errors
    /// Postgres refuses.
    pub async fn drop(self) -> anyhow::Result<()> {
        let mut superuser = PgConnection::connect(&self.maintenance_url).await?;
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        databases::run(&mut superuser, sql).await?;
        Ok(superuser.close().await?)
    }
}
