//! The passwords of the cluster's roles: random, made once, readable by the owner of the data directory only.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The cluster's superuser.
pub(super) const ADMIN: &str = "passbook_admin";
const FILE: &str = "postgres-secrets.json";
const SNAPSHOT_KEY_FILE: &str = "snapshot.key";

/// A password for each role.
#[derive(Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) admin: String,
    pub(super) owner: String,
    pub(super) command: String,
    pub(super) projection: String,
    // Absent in files of earlier versions.
    #[serde(default = "random")]
    pub(super) projection_owner: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Those of the data directory, made if there are none.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let (kept, secrets) = match std::fs::read(&path) {
            Ok(text) => {
                let secrets = serde_json::from_slice(&text);
                let secrets =
                    secrets.with_context(|| format!("{} can't be read", path.display()))?;
                (text, secrets)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), Self::random()),
            Err(error) => {
                return Err(error).with_context(|| format!("{} can't be read", path.display()));
            }
        };
        let text = serde_json::to_vec_pretty(&secrets)?;
        if text != kept {
            write_private(&path, &text)?;
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

/// Returns the file of the data directory with the key of snapshots, made if there is none.
///
/// # Errors
/// The file can't be written.
pub fn snapshot_key_file(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = data_dir.join(SNAPSHOT_KEY_FILE);
    if !path.exists() {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("{} can't be made", data_dir.display()))?;
        write_private(&path, format!("{}{}\n", random(), random()).as_bytes())?;
    }
    Ok(path)
}

/// 122 random bits, in characters that need no quoting in SQL or a URL.
fn random() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("{} could not be written", path.display()))
}
