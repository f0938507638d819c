//! An embedded Postgres: a cluster of its own in the data directory, with a database for each service,
//! listening on 127.0.0.1 only, with fsync on. It is a child process that outlives a launcher that was killed; the
//! next start ends what was left and takes the same data up again.

mod binaries;
mod databases;
mod directory;
/// Secrets of the data directory: passwords of the roles, and the key of snapshots.
pub mod secrets;
mod server;
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

/// Options of the command line for a cluster.
#[derive(Debug, Clone, Args)]
pub struct ClusterOptions {
    /// Where everything is kept.
    #[arg(long, env = "PASSBOOK_DATA_DIR", default_value = "./.passbook")]
    pub data_dir: PathBuf,
    /// The directory of Postgres's programs; searched for if not given, and fetched if there are none.
    #[arg(long, env = "PASSBOOK_PG_BIN")]
    pub postgres_bin: Option<PathBuf>,
}

/// What a cluster is started with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where everything is kept; made if it is not there.
    pub data_dir: PathBuf,
    /// Where the binaries are, if not to be searched for.
    pub binaries: Option<PathBuf>,
    /// The port on 127.0.0.1; a free one if not given.
    pub port: Option<u16>,
}

/// A running cluster. End it with [`Cluster::stop`]; dropped, it is told to stop but not waited for.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    secrets: Secrets,
    // Held until the server has ended: the directory stays locked for that long.
    _directory: Directory,
}

impl Cluster {
    /// Starts the cluster of the data directory, making it first if there is none, and its databases.
    ///
    /// # Errors
    /// The directory is in use, is of another major version, or can't be written; there are no binaries and none could
    /// be fetched; the server does not start (with its last words).
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let user = User::unprivileged()?;
        let directory = Directory::open(&settings.data_dir, user.clone())?;
        let binaries = Binaries::find(settings.binaries.as_deref(), directory.major()?).await?;
        let secrets = Secrets::of(directory.path())?;
        directory.make_cluster(&binaries, &secrets).await?;
        directory.end_leftover(&binaries).await?;
        let port = settings.port.map_or_else(free_port, Ok)?;
        let server = Server::start(&binaries, &directory, user, port, &secrets).await?;
        let cluster = Self { server, secrets, _directory: directory };
        databases::prepare(&cluster)
            .await
            .context("the databases in the embedded Postgres could not be made")?;
        Ok(cluster)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The command-service's database, as the owner of its tables.
    pub fn owner_url(&self) -> String {
        self.url(databases::OWNER, &self.secrets.owner, databases::COMMAND)
    }

    /// The command-service's database, as the role that reads and appends.
    pub fn command_url(&self) -> String {
        self.url(databases::COMMAND, &self.secrets.command, databases::COMMAND)
    }

    /// The projection-service's database, as the owner of its tables.
    pub fn projection_owner_url(&self) -> String {
        self.url(databases::PROJECTION_OWNER, &self.secrets.projection_owner, databases::PROJECTION)
    }

    /// The projection-service's database, as the role that applies events and answers queries.
    pub fn projection_url(&self) -> String {
        self.url(databases::PROJECTION, &self.secrets.projection, databases::PROJECTION)
    }

    /// The database `database`, as the cluster's superuser.
    pub fn admin_url(&self, database: &str) -> String {
        self.url(secrets::ADMIN, &self.secrets.admin, database)
    }

    fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.server.port())
    }

    /// Waits until the server has ended by itself. May be dropped and called again.
    ///
    /// # Errors
    /// The system can't say.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.server.ended().await
    }

    /// The server's last words, as in its log.
    pub fn last_words(&self) -> String {
        self.server.last_words()
    }

    /// Stops the server in order and waits until it has.
    ///
    /// # Errors
    /// It did not end in time, even when told to break off.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("no free port for the embedded Postgres")?;
    Ok(listener.local_addr()?.port())
}
