//! Files with secrets.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write as _};
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
    // Of a link, the file that the services read is replaced, and not the link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let unfinished = path.with_extension("new");
    let write = || {
        let mode = std::fs::metadata(path).map_or(MODE, |file| file.permissions().mode() & 0o777);
        // A crash may have left a file, whose reader must not see the new content. Somebody else
        // may have put a link there.
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        options.write(true).create_new(true).mode(MODE);
        let mut file = options.open(&unfinished)?;
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
        let (linked, target) = (directory.path().join("password.new"), directory.path().join("t"));
        std::fs::write(&target, "another file").unwrap();
        std::os::unix::fs::symlink(&target, &linked).unwrap();
        write(&file, b"third").unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "another file");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "third");
        assert!(!std::fs::symlink_metadata(&file).unwrap().is_symlink());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"fourth").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "fourth");
        let missing = directory.path().join("missing/password");
        let error = write(&missing, b"").unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}", missing.display()));
    }

    #[test]
    fn a_replaced_file_keeps_its_owner_and_mode() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        write(&file, b"first").unwrap();
        // Only root can give a file away.
        let is_root = nix::unistd::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&file, Some(4_711), Some(4_712)).unwrap();
        }
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let owner = |path: &Path| {
            let file = std::fs::metadata(path).unwrap();
            (file.uid(), file.gid(), file.mode() & 0o777)
        };
        let before = owner(&file);
        write(&file, b"second").unwrap();
        assert_eq!(owner(&file), before);
        assert!(!is_root || before == (4_711, 4_712, 0o640));
    }
}
