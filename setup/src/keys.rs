//! API keys of the operator and of the projection-service.

use passbook_shared::access::local_keys::LocalKeys;

use crate::directory::Directory;

/// Folder of the digests, which both services read.
const FOLDER: &str = "keys";
/// Digests of all keys.
const DIGESTS: &str = "keys/keys.toml";
/// Header line with the operator's key.
const OPERATOR: &str = "operator/auth";
/// Key of the projection-service for the command-service.
const PROJECTION: &str = "projection-service/command-service.key";

/// Creates missing keys, and replaces those that were revoked.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn ensure(directory: &mut Directory) -> anyhow::Result<()> {
    let files = [DIGESTS, OPERATOR, PROJECTION];
    let before = files.map(|file| std::fs::read(directory.at(file)).ok());
    directory.folder("operator")?;
    directory.folder("projection-service")?;
    let keys = LocalKeys {
        keys_file: directory.at(DIGESTS),
        operator: directory.at(OPERATOR),
        projection: directory.at(PROJECTION),
    };
    let folder = directory.folder(FOLDER)?;
    keys.created(&folder)?;
    for (file, before) in files.into_iter().zip(before) {
        // The services run as other users.
        directory.share(file)?;
        if std::fs::read(directory.at(file)).ok() != before {
            directory.written.push(file.to_owned());
        }
    }
    Ok(())
}
