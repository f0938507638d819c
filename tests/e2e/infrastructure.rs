//! Postgres and Kafka that the tests run on: containers with the `containers` cfg, else the
//! program's own embedded Postgres and in-process broker.

mod kafka;
mod postgres;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use passbook_shared::access::local_keys::LocalKeys;
use passbook_shared::partition::PartitionCount;
use testcontainers::{ContainerAsync, GenericImage};

pub(crate) use self::kafka::{Kafka, TOPICS};
pub(crate) use self::postgres::postgres;
use crate::process::Process;

/// Number of partitions of every topic.
pub(crate) const PARTITIONS: PartitionCount = PartitionCount::new(12);

/// Returns whether the tests run on containers, and reports the choice once.
///
/// # Errors
/// Docker answered when the tests were built, or was demanded, and does not answer now.
pub(crate) fn containers() -> anyhow::Result<bool> {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let answers = *ANSWERS.get_or_init(|| {
        if !cfg!(containers) {
            eprintln!("end-to-end tests run on the embedded Postgres and the in-process broker");
            return false;
        }
        eprintln!("end-to-end tests run on containers: postgres:18, apache/kafka:4.3.1");
        let mut info = Command::new("docker");
        info.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
        info.status().is_ok_and(|status| status.success())
    });
    ensure!(
        answers || !cfg!(containers),
        "the tests were built for containers, and Docker does not answer: start it, or set \
         PASSBOOK_TEST_CONTAINERS=never"
    );
    Ok(answers)
}

/// Returns the directory of this run's files. It is outside of root's home, so that Postgres's own
/// user can enter.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH
        .get_or_init(|| std::env::temp_dir().join(format!("passbook-e2e-{}", std::process::id())));
    std::fs::create_dir_all(path)?;
    Ok(path.clone())
}

/// Returns the API keys of all services of this run.
pub(crate) fn keys() -> anyhow::Result<LocalKeys> {
    static KEYS: OnceLock<LocalKeys> = OnceLock::new();
    if let Some(keys) = KEYS.get() {
        return Ok(keys.clone());
    }
    let keys = LocalKeys::of(&directory()?.join("keys"))?;
    Ok(KEYS.get_or_init(|| keys).clone())
}

/// Returns the value of `Authorization` that permits everything.
pub(crate) fn authorization() -> anyhow::Result<String> {
    Ok(keys()?.operator_key()?.header().to_str()?.to_owned())
}

/// Waits for a process to print `count` lines and returns them.
pub(crate) async fn first_lines(
    process: &mut Process,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    process
        .eventually("its addresses are printed", async |output| {
            let ended = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let ended: Vec<String> = ended.map(str::to_owned).collect();
            ensure!(ended.len() >= count, "its output: {output}");
            Ok(ended)
        })
        .await
}

/// Keeps a container for all tests of the run.
fn share(container: ContainerAsync<GenericImage>) -> anyhow::Result<()> {
    // Statics are never dropped. A shell removes the container once the pipe between it and this
    // process closes, however this process ends.
    let mut reaper = Command::new("sh");
    reaper.args([
        "-c",
        "cat >/dev/null; docker rm --force --volumes \"$0\" >/dev/null",
        container.id(),
    ]);
    reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C reaches the process group of the tests. In a group of its own, the shell survives to
    // do its work.
    reaper.process_group(0);
    std::mem::forget(reaper.spawn().context("no shell to remove a container")?);
    std::mem::forget(container);
    Ok(())
}
