//! URLs of databases.

use std::net::IpAddr;
use std::str::FromStr;

use form_urlencoded::parse;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::secret::{Secret, read};
use crate::tls;

/// Settings that end a session within half a minute after its host has vanished. Until then, the
/// session's locks block others.
const KEEPALIVE: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "4"),
];
/// Names of the parameter that says how a connection is encrypted.
const MODE: [&str; 2] = ["sslmode", "ssl-mode"];
/// Names of the parameters that name a file.
const FILES: [&str; 7] =
    ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// Parses the URL of a database. Unless the URL has `sslmode`, a connection to another host is
/// encrypted and the server's certificate is verified.
///
/// # Errors
/// Fails if the text is not a URL of Postgres, or names a file that cannot be read.
pub fn database_url(text: &str) -> Result<PgConnectOptions, String> {
    let is_one = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let options = is_one.then(|| PgConnectOptions::from_str(text).ok()).flatten();
    let options = options.ok_or_else(|| {
        "can't be read as postgres://user:password@host:port/database. A password with one of the \
         characters @ / # % ? : can be given in a variable of its own: the same name with PASSWORD \
         or PASSWORD_FILE instead of URL. `sslmode` is disable, prefer, require, verify-ca or \
         verify-full"
            .to_owned()
    })?;
    let parameters = parameters(text);
    for (name, path) in &parameters {
        if FILES.contains(&name.as_str()) {
            read(path).map_err(|reason| format!("has `{name}`, which {reason}"))?;
        }
    }
    // For the driver's own use of the process's default.
    tls::install();
    let mode = mode(&options, &parameters);
    Ok(options.ssl_mode(mode).options(KEEPALIVE))
}

/// Returns the encryption of connections.
fn mode(options: &PgConnectOptions, parameters: &[(String, String)]) -> PgSslMode {
    let has = |names: &[&str]| parameters.iter().any(|(name, _)| names.contains(&name.as_str()));
    match options.get_ssl_mode() {
        _ if !has(&MODE) && !is_local(options) => PgSslMode::VerifyFull,
        _ if !has(&MODE) => PgSslMode::Prefer,
        // As in Postgres's own client. The driver would accept any certificate.
        PgSslMode::Require if has(&FILES[..3]) => PgSslMode::VerifyCa,
        mode => mode,
    }
}

/// Returns true if the server is on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

fn parameters(url: &str) -> Vec<(String, String)> {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let query = url.split_once('?').map_or("", |(_, query)| query);
    parse(query.as_bytes()).into_owned().collect()
}

/// Replaces the password of a URL with one that was given separately.
#[must_use]
pub fn with_password(database: PgConnectOptions, password: Option<&Secret>) -> PgConnectOptions {
    match password {
        Some(password) => database.password(password.expose()),
        None => database,
    }
}

#[cfg(test)]
mod tests;
