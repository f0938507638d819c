//! Secrets of the data directory: random, generated once, readable by its owner only.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use passbook_shared::private_file;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Name of the cluster's superuser.
pub(super) const ADMIN: &str = "passbook_admin";
const FILE: &str = "postgres-secrets.json";
/// File of the key that authenticates snapshots.
pub const SNAPSHOT_KEY: &str = "snapshot.key";
/// File of the key that authenticates the topic's records.
pub const TOPIC_KEY: &str = "topic.key";

/// Passwords of the roles.
#[derive(Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) admin: String,
    pub(super) owner: String,
    pub(super) command: String,
    pub(super) projection: String,
    // Files of earlier versions lack this password.
    #[serde(default = "random")]
    pub(super) projection_owner: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Reads the passwords of the data directory, and generates missing ones.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let (kept, secrets) = match std::fs::read(&path) {
            Ok(text) => {
                let secrets = serde_json::from_slice(&text);
                let secrets = secrets.with_context(|| format!("cannot read {}", path.display()))?;
                (text, secrets)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), Self::random()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let text = serde_json::to_vec_pretty(&secrets)?;
        // Also saves a password that the file of an earlier version lacked.
        if text != kept {
            private_file::write(&path, &text)?;
        }
        Ok(secrets)
    }

    fn random() -> Self {
        Self {
            admin: random(),
            owner: random(),
            command: random(),
            projection: random(),
            projection_owner: random(),
        }
    }
}

/// Returns the path of a key's file in the data directory, generated if missing.
///
/// # Errors
/// The file cannot be written.
pub fn key_file(data_dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = data_dir.join(name);
    if !path.exists() {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot create {}", data_dir.display()))?;
        private_file::write(&path, format!("{}{}\n", random(), random()).as_bytes())?;
    }
    Ok(path)
}

/// Returns 122 random bits as hex digits, which need no quoting in SQL or a URL.
fn random() -> String {
    Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests;
