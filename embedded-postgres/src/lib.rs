//! A Postgres cluster in the data directory, with a database for each service. The cluster listens
//! on 127.0.0.1 only and runs with fsync on.
//!
//! The server is a child process and outlives a launcher that is killed. The next start stops that
//! server and reuses the same data.

mod binaries;
mod databases;
mod directory;
pub mod secrets;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod user;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::Context;
use clap::Args;

use self::binaries::Binaries;
use self::directory::Directory;
use self::secrets::Secrets;
use self::server::Server;
use self::user::User;

/// Command-line options of a cluster.
#[derive(Debug, Clone, Args)]
pub struct ClusterOptions {
    /// Directory of all data.
    #[arg(long, env = "PASSBOOK_DATA_DIR", default_value = "./.passbook")]
    pub data_dir: PathBuf,
    /// Directory of Postgres's programs; by default the newest installed, or else a download.
    #[arg(long, env = "PASSBOOK_PG_BIN")]
    pub postgres_bin: Option<PathBuf>,
}

/// Settings of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Directory of all data, created if missing.
    pub data_dir: PathBuf,
    /// Directory of Postgres's programs; `None` searches the machine and then downloads them.
    pub binaries: Option<PathBuf>,
    /// Port on 127.0.0.1; `None` picks a free one.
    pub port: Option<u16>,
}

/// A running cluster. [`Cluster::stop`] waits for its end; dropping the cluster only signals the
/// server.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    secrets: Secrets,
    // Dropped last: the directory stays locked until the server has ended.
    _directory: Directory,
}

impl Cluster {
    /// Starts the cluster of the data directory; creates the cluster and its databases if missing.
    ///
    /// # Errors
    /// The directory is in use, belongs to another major version, or is not writable; programs are
    /// neither installed nor downloadable; or the server does not start (with the end of its log).
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let user = User::unprivileged()?;
        let directory = Directory::open(&settings.data_dir, user.clone())?;
        let binaries = Binaries::find(settings.binaries.as_deref(), directory.major()?).await?;
        let secrets = Secrets::of(directory.path())?;
        directory.make_cluster(&binaries, &secrets).await?;
        directory.stop_leftover(&binaries).await?;
        let port = settings.port.map_or_else(free_port, Ok)?;
        let server = Server::start(&binaries, &directory, user, port, &secrets).await?;
        let cluster = Self { server, secrets, _directory: directory };
        databases::prepare(&cluster)
            .await
            .context("cannot create the databases of the embedded Postgres")?;
        Ok(cluster)
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// URL of the command-service's database for the owner of its tables.
    pub fn owner_url(&self) -> String {
        self.url(databases::OWNER, &self.secrets.owner, databases::COMMAND)
    }

    /// URL of the command-service's database for the role that reads and appends.
    pub fn command_url(&self) -> String {
        self.url(databases::COMMAND, &self.secrets.command, databases::COMMAND)
    }

    /// URL of the projection-service's database for the owner of its tables.
    pub fn projection_owner_url(&self) -> String {
        self.url(databases::PROJECTION_OWNER, &self.secrets.projection_owner, databases::PROJECTION)
    }

    /// URL of the projection-service's database for the role that applies events and answers
    /// queries.
    pub fn projection_url(&self) -> String {
        self.url(databases::PROJECTION, &self.secrets.projection, databases::PROJECTION)
    }

    /// URL of `database` for the cluster's superuser.
    pub fn admin_url(&self, database: &str) -> String {
        self.url(secrets::ADMIN, &self.secrets.admin, database)
    }

    fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.server.port())
    }

    /// Waits until the server has ended by itself. Cancel-safe.
    ///
    /// # Errors
    /// The operating system cannot wait for the process.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.server.ended().await
    }

    /// Returns the end of the log of this run.
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// Shuts the server down and waits for its end.
    ///
    /// # Errors
    /// The server ignores even an immediate shutdown.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("no port is free for the embedded Postgres")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests;
