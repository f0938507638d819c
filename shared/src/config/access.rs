//! Settings of access.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};

use super::JwtConfig;
use crate::access::watch::WatchedKeys;
use crate::http::gate::{Access, AllowedHosts};

/// Authentication of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Every request needs an API key or a token, except for health and documentation.
    Keys,
    /// Every request is permitted.
    Off,
}

/// Settings of access.
#[derive(Debug, Clone, Args)]
pub struct AccessConfig {
    /// Authentication of requests. `off` permits everything, and only on a loopback address.
    #[arg(long, env, value_enum, default_value = "keys")]
    pub auth: Auth,
    /// File of API keys, which `keys add` creates. Changes apply within a second.
    #[arg(long, env)]
    pub keys_file: Option<PathBuf>,
    /// JSON Web Tokens.
    #[command(flatten)]
    pub jwt: JwtConfig,
    /// Host names by which clients reach the service, separated by commas; requests with another
    /// `Host` are refused. Ports are ignored. By default any, or on a loopback address only the
    /// loopback names.
    #[arg(long, env, value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
}

impl AccessConfig {
    /// Returns access for a service that listens on an address.
    ///
    /// # Errors
    /// A setting is missing or contradicts another one, or the file of keys is invalid.
    pub fn read(&self, addr: SocketAddr) -> anyhow::Result<Access> {
        let hosts = AllowedHosts::new(&self.allowed_hosts, addr);
        let hosts = hosts.context("ALLOWED_HOSTS (--allowed-hosts)")?;
        if hosts.is_any() {
            tracing::warn!(
                address = %addr,
                "ALLOWED_HOSTS is not set: a web page can reach the service under its own name"
            );
        }
        let keys = self.keys(addr)?;
        Ok(Access { keys, tokens: self.jwt.tokens()?, audit: None, hosts })
    }

    /// Returns the keys for a service that listens on an address; `None` without authentication.
    fn keys(&self, addr: SocketAddr) -> anyhow::Result<Option<WatchedKeys>> {
        let path = self.keys_file.clone();
        if self.auth == Auth::Off {
            ensure!(
                addr.ip().is_loopback(),
                "AUTH=off permits everything to everybody who reaches {addr}, which is not a \
                 loopback address: set AUTH=keys and KEYS_FILE"
            );
            ensure!(path.is_none(), "KEYS_FILE is set, but AUTH=off ignores it: omit one");
            if let Some(set) = self.jwt.any() {
                bail!("{set} is set, but AUTH=off ignores it: omit one");
            }
            tracing::warn!("AUTH=off: every local program and user may move money");
            return Ok(None);
        }
        let path = path.context(
            "KEYS_FILE (--keys-file) is not set. `keys add` creates a file of API keys; AUTH=off \
             works without one on a loopback address",
        )?;
        WatchedKeys::read(path).map(Some).context("KEYS_FILE (--keys-file)")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Settable {
        #[command(flatten)]
        access: AccessConfig,
    }

    fn keys(arguments: &[&str], addr: &str) -> anyhow::Result<Option<WatchedKeys>> {
        let settable = Settable::try_parse_from(["test"].iter().chain(arguments)).unwrap();
        settable.access.keys(addr.parse().unwrap())
    }

    #[test]
    fn authentication_is_off_on_a_loopback_address_only() {
        for addr in ["127.0.0.1:8080", "[::1]:8080"] {
            assert!(keys(&["--auth=off"], addr).unwrap().is_none());
        }
        for addr in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80"] {
            let said = keys(&["--auth=off"], addr).unwrap_err().to_string();
            assert!(said.contains("AUTH=off") && said.contains(addr), "{said}");
        }
        let said = keys(&["--auth=off", "--keys-file=x"], "127.0.0.1:1").unwrap_err().to_string();
        assert!(said.contains("KEYS_FILE is set"), "{said}");
        let said = keys(&["--auth=off", "--jwt-issuer=x"], "127.0.0.1:1").unwrap_err().to_string();
        assert!(said.contains("JWT_ISSUER is set"), "{said}");
    }

    #[test]
    fn without_a_file_of_keys_the_start_ends() {
        for (arguments, reason) in [
            (&[][..], "KEYS_FILE (--keys-file) is not set"),
            (&["--keys-file=/no/such/file"], "KEYS_FILE (--keys-file): /no/such/file: No such"),
        ] {
            let said = format!("{:#}", keys(arguments, "127.0.0.1:1").unwrap_err());
            assert!(said.contains(reason), "{said}");
        }
    }
}
