//! Configuration of the services: given options, or else the environment and the defaults.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser};
use passbook_shared::config::{AccessConfig, Auth, KafkaConfig};
use passbook_shared::http::limits::HttpConfig;

use super::Embedded;

pub(super) fn command_config(
    given: &[(&str, String)],
    embedded: Embedded,
) -> anyhow::Result<command_service::Config> {
    let mut config: command_service::Config = config(given)?;
    if embedded.log {
        (config.database_password, config.database_password_file) = (None, None);
    }
    Ok(config)
}

pub(super) fn projection_config(
    given: &[(&str, String)],
    embedded: Embedded,
) -> anyhow::Result<projection_service::Config> {
    let mut config: projection_service::Config = config(given)?;
    if embedded.views {
        (config.projection_database_password, config.projection_database_password_file) =
            (None, None);
    }
    Ok(config)
}

/// Returns the time between SIGTERM and the end of the acceptance of requests.
///
/// # Errors
/// A variable is invalid.
pub fn drain() -> anyhow::Result<Duration> {
    Ok(config::<HttpConfig>(&[])?.drain())
}

/// Checks the settings that come from the environment only, before any part starts.
///
/// # Errors
/// A variable is invalid.
pub fn check_settings() -> anyhow::Result<()> {
    config::<KafkaConfig>(&[])?.check()
}

/// Returns whether the services authenticate with keys of the launcher: not if authentication is
/// off, or the environment has a file of keys.
///
/// # Errors
/// A variable is invalid.
pub fn need_local_keys() -> anyhow::Result<bool> {
    let AccessConfig { auth, keys_file, .. } = config(&[])?;
    Ok(auth == Auth::Keys && keys_file.is_none())
}

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Settable<C: Args> {
    #[command(flatten)]
    config: C,
}

/// Returns a service's configuration: `given`, or else its environment and defaults.
pub(super) fn config<C: Args>(given: &[(&str, String)]) -> anyhow::Result<C> {
    // One argument: a value that begins with a dash would otherwise pass for an option.
    let given = given.iter().map(|(name, value)| OsString::from(format!("{name}={value}")));
    // Clap's message ends with a hint at --help, which belongs to another program here.
    let first_line = |error: clap::Error| {
        anyhow::anyhow!(error.to_string().lines().next().unwrap_or_default().to_owned())
    };
    Ok(Settable::try_parse_from(given).map_err(first_line)?.config)
}
