//! API keys of the measured services, which are created for the run.

use std::sync::OnceLock;

use passbook_shared::access::client_key::ClientKey;
use passbook_shared::access::local_keys::LocalKeys;
use passbook_shared::config::Auth;
use tempfile::TempDir;

/// Keys of the run; `None` if the services authenticate nobody.
static KEYS: OnceLock<Option<Keys>> = OnceLock::new();

struct Keys {
    files: LocalKeys,
    operator: ClientKey,
}

/// Creates the keys. The returned directory must outlive the services.
pub(crate) fn create(auth: Auth) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let files =
        (auth == Auth::Keys).then(|| LocalKeys::open_or_create(directory.path())).transpose()?;
    let keys = files.map(|files| anyhow::Ok(Keys { operator: files.operator_key()?, files }));
    let _ = KEYS.set(keys.transpose()?);
    Ok(directory)
}

/// Returns the key that the load sends.
pub(crate) fn operator() -> Option<&'static ClientKey> {
    keys().map(|keys| &keys.operator)
}

/// Returns the options of a service.
pub(crate) fn options(part: &str) -> Vec<(&'static str, String)> {
    let Some(Keys { files, .. }) = keys() else { return vec![("--auth", "off".to_owned())] };
    let mut options = vec![("--keys-file", files.keys_file.display().to_string())];
    if part == "projection-service" {
        options.push(("--command-service-key-file", files.projection.display().to_string()));
    }
    options
}

fn keys() -> Option<&'static Keys> {
    KEYS.get().and_then(Option::as_ref)
}
