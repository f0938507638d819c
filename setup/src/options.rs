//! Options of `setup`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use rustls::pki_types::ServerName;

const EXAMPLES: &str = "\
Examples:
  passbook setup secrets
      Creates the directory `secrets`, or what is missing in it.
  passbook setup secrets --host pay.example --host 10.0.0.7
      The same, with certificates that also name pay.example and 10.0.0.7.
  passbook setup secrets --renew-certificates
      New certificates of the same authority; passwords and keys stay.

A folder has the files of one container, such as secrets/postgres. Keep a copy of the directory in a
safe place. The key of the authority, secrets/ca.key, is needed only for new certificates.";

/// Options of `setup`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct SetupOptions {
    /// Directory for the secrets. It is created if missing; existing files stay as they are.
    pub directory: PathBuf,
    /// Further host name or address of the services, besides localhost and their names in
    /// containers; repeatable.
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    pub hosts: Vec<String>,
    /// Issue new certificates, valid for 730 days. Authority, passwords and keys stay.
    #[arg(long)]
    pub renew_certificates: bool,
    /// File `.env` of docker compose, which gets the place of the directory and the further hosts.
    #[arg(long, value_name = "FILE")]
    pub compose_env: Option<PathBuf>,
}

/// Returns a host name in lower case, or an address in its usual form.
fn host(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let is_name = ServerName::try_from(text).is_ok();
    let name = is_name.then(|| text.to_ascii_lowercase());
    name.ok_or_else(|| "is no host name or address; it has no port and no scheme".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        assert_eq!(host("Pay.Example"), Ok("pay.example".to_owned()));
        assert_eq!(host("0:0::1"), Ok("::1".to_owned()));
        for invalid in ["", "a b", "a,b", "pay.example:8080", "https://pay.example", "*.example"] {
            assert!(host(invalid).is_err(), "{invalid}");
        }
    }
}
