//! Encryption of the measured services.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use passbook_shared::config::TlsConfig;
use tokio_rustls::TlsConnector;

/// Settings of the run; `None` without encryption.
static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();

struct Settings {
    config: TlsConfig,
    connector: TlsConnector,
}

/// Sets the settings of the run.
pub(crate) fn set(config: &TlsConfig) -> anyhow::Result<()> {
    let connector = TlsConnector::from(Arc::new(config.own_client()?));
    let is_on = config.tls_cert_file.is_some();
    let settings = is_on.then(|| Settings { config: config.clone(), connector });
    let _ = SETTINGS.set(settings);
    Ok(())
}

/// Returns the connector of the load.
pub(crate) fn connector() -> Option<&'static TlsConnector> {
    settings().map(|settings| &settings.connector)
}

/// Returns the scheme of the services' URLs.
pub(crate) fn scheme() -> &'static str {
    settings().map_or("http", |settings| settings.config.scheme())
}

/// Returns the options of a service. The projection-service takes the authority of the feed from
/// the environment.
pub(crate) fn options() -> Vec<(&'static str, String)> {
    let Some(Settings { config, .. }) = settings() else { return Vec::new() };
    let files =
        [("--tls-cert-file", &config.tls_cert_file), ("--tls-key-file", &config.tls_key_file)];
    let given =
        |(name, file): (_, &Option<PathBuf>)| Some((name, file.as_ref()?.display().to_string()));
    files.into_iter().filter_map(given).collect()
}

fn settings() -> Option<&'static Settings> {
    SETTINGS.get().and_then(Option::as_ref)
}
