//! Reloading of the file of API keys. A revoked key is refused within a second.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::key_table::KeyTable;
use super::keys_file::KeysFile;
use crate::health::Health;

/// Interval between two reads of the file.
const EVERY: Duration = Duration::from_millis(500);
/// Name of the readiness check.
const CHECK: &str = "keys";

/// Keys of a file, reloaded while the service runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WatchedKeys {
    path: PathBuf,
    table: Arc<RwLock<Arc<KeyTable>>>,
}

impl WatchedKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read or is invalid.
    pub fn read(path: PathBuf) -> anyhow::Result<Self> {
        let table = KeysFile::read(&path)?.table()?;
        Ok(Self { path, table: Arc::new(RwLock::new(Arc::new(table))) })
    }

    /// Returns the keys of the last valid file.
    pub fn table(&self) -> Arc<KeyTable> {
        Arc::clone(&self.table.read())
    }

    /// Reloads the file until the shutdown. An invalid file changes nothing and degrades readiness.
    ///
    /// # Errors
    /// None.
    pub async fn watch(self, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
        health.ok(CHECK);
        let mut last = None;
        while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let path = self.path.clone();
            // A network file system can block the read.
            let read = tokio::task::spawn_blocking(move || {
                let file = KeysFile::read(&path)?;
                Ok::<_, anyhow::Error>((file.table()?, file))
            });
            match read.await? {
                Ok((table, file)) => {
                    health.ok(CHECK);
                    if last.as_ref() != Some(&file) {
                        tracing::info!(keys = file.keys.len(), "the file of API keys was read");
                        // Only then, because a new table begins its rates anew.
                        *self.table.write() = Arc::new(table);
                        last = Some(file);
                    }
                }
                Err(error) => {
                    let reason = format!("KEYS_FILE: {error:#}; the previous keys stay in force");
                    health.degraded(CHECK, reason);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
