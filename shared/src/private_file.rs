//! Files with secrets.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use anyhow::Context;

/// Mode of a new file: readable and writable by its owner only.
const MODE: u32 = 0o600;

/// Writes a file atomically. A new file is readable by its owner only; an existing one keeps its
/// mode and owner, because the services may run as different users.
///
/// # Errors
/// The file cannot be written; the error names it.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    let write = || {
        let mode = std::fs::metadata(path).map_or(MODE, |file| file.permissions().mode() & 0o777);
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut file = options.open(&unfinished)?;
        // A file that a crash left has the mode of then.
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Ok(old) = std::fs::metadata(path) {
            // The services must still be able to read it.
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
        // The new name is durable only after this.
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(directory.path().join("password.new"), "left by a crash, and longer")
            .unwrap();
        for content in ["first, the longer one", "second"] {
            write(&file, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!directory.path().join("password.new").exists());
        let missing = directory.path().join("missing/password");
        let error = write(&missing, b"").unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}", missing.display()));
    }
}
