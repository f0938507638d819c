//! Options of `setup`.

use std::path::PathBuf;

use clap::Args;

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
    #[arg(long = "host")]
    pub hosts: Vec<String>,
    /// Issue new certificates, valid for 730 days. Authority, passwords and keys stay.
    #[arg(long)]
    pub renew_certificates: bool,
    /// File `.env` of docker compose, which gets the place of the directory and the further hosts.
    #[arg(long)]
    pub compose_env: Option<PathBuf>,
}
