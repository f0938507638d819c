//! File that is read again while the service runs.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// Interval between two reads.
const EVERY: Duration = Duration::from_millis(250);
/// Time without a finished read after which readiness reports it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Results of the reads.
type Reads = mpsc::Receiver<anyhow::Result<Vec<u8>>>;

/// File that operators replace while the service runs.
#[derive(Debug, Clone)]
pub(super) struct WatchedFile {
    /// Path of the file.
    pub(super) path: PathBuf,
    /// Setting that names the file.
    pub(super) setting: &'static str,
    /// Name of the readiness check.
    pub(super) check: &'static str,
    /// Maximum length, in bytes.
    pub(super) longest: u64,
}

impl WatchedFile {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, is too long or no regular file; the error names it.
    pub(super) fn read(&self) -> anyhow::Result<Vec<u8>> {
        let read = || {
            // The open of a pipe waits for its writer.
            ensure!(std::fs::metadata(&self.path)?.is_file(), "not a regular file");
            let mut content = Vec::new();
            let file = std::fs::File::open(&self.path)?;
            file.take(self.longest + 1).read_to_end(&mut content)?;
            ensure!(content.len() as u64 <= self.longest, "longer than {} bytes", self.longest);
            Ok(content)
        };
        read().with_context(|| self.path.display().to_string())
    }

    /// Reads the file until the shutdown, and gives each changed content to `adopt` once two reads
    /// agree on it: a write may be unfinished. A fault changes nothing and degrades readiness.
    ///
    /// # Errors
    /// No thread could be started.
    pub(super) async fn watch(
        self,
        first: Vec<u8>,
        adopt: impl FnMut(&[u8]) -> anyhow::Result<()>,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let reads = self.reads()?;
        health.ok(self.check);
        let following = self.follow(reads, first, adopt, &health);
        shutdown.run_until_cancelled(following).await.unwrap_or(Ok(()))
    }

    async fn follow(
        &self,
        mut reads: Reads,
        first: Vec<u8>,
        mut adopt: impl FnMut(&[u8]) -> anyhow::Result<()>,
        health: &Health,
    ) -> anyhow::Result<()> {
        let (mut current, mut fault) = (first.clone(), None);
        let mut previous = Some(first);
        loop {
            let content = match timeout(PATIENCE, reads.recv()).await {
                Ok(Some(Ok(content))) => content,
                Ok(Some(Err(error))) => {
                    self.report(health, Some(&format!("{error:#}")));
                    previous = None;
                    continue;
                }
                Ok(None) => bail!("the thread that reads {} has ended", self.setting),
                Err(_) => {
                    let said = format!("{} cannot be read in {PATIENCE:?}", self.path.display());
                    self.report(health, Some(&said));
                    continue;
                }
            };
            if content != current && previous.as_ref() == Some(&content) {
                fault = adopt(&content).err().map(|error| format!("{error:#}"));
                current.clone_from(&content);
            }
            previous = Some(content);
            self.report(health, fault.as_deref());
        }
    }

    fn report(&self, health: &Health, fault: Option<&str>) {
        match fault {
            None => health.ok(self.check),
            Some(fault) => {
                let previous = "the previous content stays in force";
                health.degraded(self.check, format!("{}: {fault}; {previous}", self.setting));
            }
        }
    }

    /// Starts the thread that reads the file. A network file system can block it for ever, which
    /// must not block the end of the process.
    fn reads(&self) -> anyhow::Result<Reads> {
        let (sender, receiver) = mpsc::channel(1);
        let file = self.clone();
        let read = move || {
            while !sender.is_closed() {
                std::thread::sleep(EVERY);
                if sender.blocking_send(file.read()).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name(self.check.to_owned()).spawn(read)?;
        Ok(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_blocks_degrades_readiness() {
        let (path, health) = (PathBuf::from("/mnt/keys"), Health::new("test"));
        let file = WatchedFile { path, setting: "KEYS_FILE", check: "keys", longest: 1 };
        let (sender, reads) = mpsc::channel(1);
        let reason = || health.checks()["keys"].reason.clone();
        health.ok("keys");
        let following = file.follow(reads, b"1".to_vec(), |_| Ok(()), &health);
        let acting = async {
            tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
            assert_eq!(
                reason().unwrap(),
                "KEYS_FILE: /mnt/keys cannot be read in 5s; the previous content stays in force"
            );
            sender.send(Ok(b"1".to_vec())).await.unwrap();
            drop(sender);
        };
        let (ended, ()) = tokio::join!(following, acting);
        assert_eq!(reason(), None);
        assert!(ended.unwrap_err().to_string().contains("has ended"));
    }
}
