//! The server's process.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use passbook_shared::store_error::is_connection_lost;
use sqlx::{Connection, PgConnection};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::directory::Directory;
use crate::secrets::{ADMIN, Secrets};
use crate::user::User;

/// Timeout of a start, which includes recovery after a crash.
const START: Duration = Duration::from_secs(120);
/// Timeout of a fast shutdown, which includes the final checkpoint.
const STOP: Duration = Duration::from_secs(60);
/// File mode of the log: readable by its owner only.
const PRIVATE: u32 = 0o600;
/// Maximum number of bytes quoted from the end of the log.
const LOG_TAIL: u64 = 1_000;

/// Parameters for a small shared machine, fully durable.
const SETTINGS: [&str; 16] = [
    "listen_addresses=127.0.0.1",
    // The default socket directory may be missing or owned by another user.
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=100",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
    // A commit that has no file of WAL to reuse takes 10 to 20 ms.
    "min_wal_size=1GB",
    "checkpoint_timeout=15min",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_min_messages=warning",
    // Statements and error details contain idempotency keys and owners' names.
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
];

#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
    // Offset in the log at which this run starts.
    log_start: u64,
}

impl Server {
    /// Starts the server and waits until it accepts connections.
    pub(super) async fn start(
        binaries: &Binaries,
        directory: &Directory,
        user: Option<User>,
        port: u16,
        secrets: &Secrets,
    ) -> anyhow::Result<Self> {
        let log = directory.log();
        let output = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(PRIVATE)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        // Earlier versions created a world-readable log.
        output.set_permissions(Permissions::from_mode(PRIVATE))?;
        let log_start = output.metadata()?.len();
        let mut command = binaries.command("postgres", user.as_ref());
        command.arg("-D").arg(directory.data()).arg("-p").arg(port.to_string());
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}", binaries.postgres().display()))?;
        let mut server = Self { child, port, log, log_start };
        server.wait_until_ready(secrets).await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self, secrets: &Secrets) -> anyhow::Result<()> {
        let url = format!("postgres://{ADMIN}:{}@127.0.0.1:{}/postgres", secrets.admin, self.port);
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the embedded Postgres did not start ({status}); {}", self.log_tail());
            }
            match PgConnection::connect(&url).await {
                Ok(connection) => {
                    return connection
                        .close()
                        .await
                        .context("the first connection failed to close");
                }
                // Anything but a lost connection is permanent: waiting does not help.
                Err(error) if !is_connection_lost(&error) => {
                    return Err(error).context("the embedded Postgres rejects its administrator");
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(error)
                        .context(format!("the embedded Postgres did not start within {START:?}"));
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Returns the end of the log of this run.
    pub(super) fn log_tail(&self) -> String {
        let read = || {
            let mut file = File::open(&self.log)?;
            let from = self.log_start.max(file.metadata()?.len().saturating_sub(LOG_TAIL));
            file.seek(SeekFrom::Start(from))?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            std::io::Result::Ok(String::from_utf8_lossy(&text).trim().to_owned())
        };
        let tail = read().unwrap_or_default();
        format!("end of {}:\n{tail}", self.log.display())
    }

    /// Requests a fast shutdown, then an immediate one, after which the next start recovers.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        // Not SIGTERM, which lets Postgres wait until all clients have disconnected.
        for how in [Signal::SIGINT, Signal::SIGQUIT] {
            self.signal(how);
            if let Ok(ended) = timeout(STOP, self.child.wait()).await {
                ended?;
                return Ok(());
            }
        }
        bail!("the embedded Postgres does not shut down")
    }

    fn signal(&self, signal: Signal) {
        // A server without an id has ended already.
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // An error means that the server has ended meanwhile.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

#[cfg(test)]
mod tests;
