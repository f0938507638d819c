//! Processes of the launcher.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use passbook_shared::access::local_keys::LocalKeys;

use crate::client::Client;
use crate::infrastructure::keys;
use crate::process::{Process, eventually, free_address, ops_of};

/// Launcher process, killed when dropped.
pub(crate) struct Launched {
    pub(crate) process: Process,
    pub(super) data_dir: PathBuf,
    pub(crate) command: SocketAddr,
    pub(crate) projection: SocketAddr,
}

/// Starts a launcher and does not wait for it.
pub(super) fn launch(
    data_dir: &Path,
    command: SocketAddr,
    projection: SocketAddr,
) -> anyhow::Result<Process> {
    let log = data_dir.with_extension(format!("{}.out", command.port()));
    let keys = shared_keys()?;
    let keys = keys.each_ref().map(|(name, path)| (*name, path.as_str()));
    Process::start_with(&arguments(data_dir, command, projection), &keys, &[], &log)
}

/// Returns variables that make a launcher accept the keys of this run, instead of its own.
fn shared_keys() -> anyhow::Result<[(&'static str, String); 2]> {
    let LocalKeys { keys_file, projection, .. } = keys()?;
    let files = [("KEYS_FILE", keys_file), ("COMMAND_SERVICE_KEY_FILE", projection)];
    Ok(files.map(|(name, path)| (name, path.display().to_string())))
}

fn arguments(data_dir: &Path, command: SocketAddr, projection: SocketAddr) -> Vec<String> {
    let data_dir = format!("--data-dir={}", data_dir.display());
    vec![
        data_dir,
        format!("--command-addr={command}"),
        format!("--projection-addr={projection}"),
        format!("--command-ops-addr={}", ops_of(command)),
        format!("--projection-ops-addr={}", ops_of(projection)),
    ]
}

impl Launched {
    /// Starts a launcher and waits until it is ready.
    pub(crate) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(data_dir, &[], &[], &[]).await
    }

    /// Starts a launcher with further arguments, some environment variables set and others removed.
    pub(crate) async fn start_with(
        data_dir: &Path,
        further: &[String],
        set: &[(&str, &str)],
        removed: &[&str],
    ) -> anyhow::Result<Self> {
        let (command, projection) = (free_address()?, free_address()?);
        let log = data_dir.with_extension(format!("{}.out", command.port()));
        let mut arguments = arguments(data_dir, command, projection);
        // A further argument replaces one of the same name.
        arguments.retain(|own| {
            further.iter().all(|other| own.split('=').next() != other.split('=').next())
        });
        arguments.extend_from_slice(further);
        let keys = shared_keys()?;
        let keys = keys.each_ref().map(|(name, path)| (*name, path.as_str()));
        let set = [&keys, set].concat();
        let mut process = Process::start_with(&arguments, &set, removed, &log)?;
        process
            .eventually("the launcher is ready", async |output| {
                ensure!(output.contains("Passbook is ready"), "{output}");
                Ok(())
            })
            .await?;
        Ok(Self { process, data_dir: data_dir.to_owned(), command, projection })
    }

    /// Waits until it has locked its data directory. From then on it handles signals.
    pub(super) async fn has_begun(&self) -> anyhow::Result<()> {
        let id = self.process.id()?.to_string();
        eventually("the data directory is locked", async || {
            let locked = std::fs::read_to_string(self.data_dir.join("lock"))?;
            ensure!(locked == id, "by {locked}");
            Ok(())
        })
        .await
    }

    /// Waits for a version of an account in the views, and checks its balance.
    pub(crate) async fn shows(
        &self,
        account: uuid::Uuid,
        version: i64,
        balance: i64,
    ) -> anyhow::Result<()> {
        let path = format!("/v1/accounts/{account}?min_version={version}");
        let view = Client::new(&[self.projection])?.json(&path).await?;
        ensure!(view["balance"] == balance, "{view}");
        Ok(())
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // A failed test kills its launcher, whose Postgres survives.
        let pid = std::fs::read_to_string(self.data_dir.join("postgres/data/postmaster.pid"))
            .unwrap_or_default();
        if let Some(pid) = pid.lines().next().and_then(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
    }
}
