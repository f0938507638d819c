//! Installed Postgres that archives its WAL. Not a container, so that the server and its tools have
//! one version.

use std::io::PipeWriter;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::unistd::{User, geteuid};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::infrastructure::directory;
use crate::process::{DEADLINE, free_address};

const START: &str = "
    mkdir -p /backup/wal
    initdb --pgdata=\"$DIRECTORY/data\" --username=postgres --auth=trust --no-sync
    echo \"$SETTINGS\" >> \"$DIRECTORY/data/postgresql.conf\"
    pg_ctl --pgdata=\"$DIRECTORY/data\" --log=\"$DIRECTORY/data.log\" start";
/// Puts the newest installed Postgres first in the search path.
const PATH: &str = "
    PATH=\"$(printf '%s\\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1):$PATH\"\n";
/// Waits for the end of the test, also of one that is killed.
const END: &str = "
    cat
    for cluster in data restored; do
        pg_ctl --pgdata=\"$DIRECTORY/$cluster\" --mode=immediate stop || true
    done
    rm -rf \"$DIRECTORY\"/*";

/// Server, which stops when this value is dropped.
pub(super) struct Server {
    directory: PathBuf,
    /// URL of a superuser, without the name of a database.
    pub(super) url: String,
    /// The same for the restored cluster.
    pub(super) restored_url: String,
    restored_port: u16,
    _end: PipeWriter,
}

impl Server {
    /// Starts the server with further lines of its configuration.
    pub(super) async fn start(settings: &str) -> anyhow::Result<Self> {
        let directory = directory()?.join("drill");
        std::fs::create_dir_all(&directory)?;
        if let Some(user) = user()? {
            let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            std::os::unix::fs::chown(&directory, uid, gid)?;
        }
        let (address, restored) = (free_address()?, free_address()?);
        let [url, restored_url] =
            [address, restored].map(|address| format!("postgres://postgres:passbook@{address}"));
        let (end_read, end) = std::io::pipe()?;
        let restored_port = restored.port();
        let server = Self { directory, url, restored_url, restored_port, _end: end };
        let mut ended = server.shell(END)?;
        // In a group of its own, the shell survives Ctrl-C.
        ended.stdin(end_read).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        ended.spawn().context("no shell to end the server")?;
        let own = format!(
            "port = {}\nunix_socket_directories = '{}'\n",
            address.port(),
            server.directory.display()
        );
        server.run(START, &[("SETTINGS", &(own + &server.placed(settings)))]).await?;
        Ok(server)
    }

    /// Returns the server's time.
    pub(super) async fn now(&self) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.url)).await?;
        let now = sqlx::query_scalar("SELECT clock_timestamp()::text");
        let now = now.fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(now)
    }

    /// Runs a shell script as Postgres's system user.
    pub(super) async fn run(&self, script: &str, variables: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut shell = tokio::process::Command::from(self.shell(script)?);
        let ended = timeout(DEADLINE, shell.envs(variables.iter().copied()).output()).await;
        let ended = ended.with_context(|| format!("does not end: {script}"))??;
        if !ended.status.success() {
            bail!("{script}: {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
        }
        Ok(())
    }

    /// Replaces the directory and the port that the page shows.
    fn placed(&self, text: &str) -> String {
        let backup = format!("{}/backup/", self.directory.display());
        text.replace("/backup/", &backup).replace("5433", &self.restored_port.to_string())
    }

    fn shell(&self, script: &str) -> anyhow::Result<Command> {
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &(PATH.to_owned() + &self.placed(script))]);
        shell.current_dir("/").env("ADMIN", &self.url).env("DIRECTORY", &self.directory);
        shell.env("RESTORED", self.directory.join("restored"));
        shell.env("PGHOST", &self.directory).env("PGUSER", "postgres");
        if let Some(user) = user()? {
            shell.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        Ok(shell)
    }
}

/// Returns the user of the server: Postgres refuses to run as root.
fn user() -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    User::from_name("postgres")?.context("no user `postgres`: install Postgres").map(Some)
}
