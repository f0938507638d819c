//! Certificates of the servers, with their private keys.

use anyhow::Context;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use time::Date;

use crate::authority::Authority;
use crate::certificate::{Certificate, days_from_now};
use crate::directory::Directory;
use crate::options::SetupOptions;

/// Validity of a certificate, in days.
const DAYS: i64 = 730;
/// Names of each server on its own machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Server with a certificate.
#[derive(Debug, Clone, Copy)]
struct Server {
    /// Name of its container and of its folder.
    name: &'static str,
    /// True if the certificate and its key are in one file, as Kafka reads them.
    is_one_file: bool,
    /// True if `--host` names it.
    is_public: bool,
}

/// Servers in the order of the report.
const SERVERS: [Server; 4] = [
    Server { name: "postgres", is_one_file: false, is_public: false },
    Server { name: "kafka", is_one_file: true, is_public: false },
    Server { name: "command-service", is_one_file: false, is_public: true },
    Server { name: "projection-service", is_one_file: false, is_public: true },
];

impl Server {
    /// Returns the file of the certificate.
    fn certificate(self) -> String {
        let file = if self.is_one_file { "keystore.pem" } else { "tls.crt" };
        format!("{}/{file}", self.name)
    }

    fn key(self) -> String {
        let file = if self.is_one_file { "keystore.pem" } else { "tls.key" };
        format!("{}/{file}", self.name)
    }

    fn names(self, hosts: &[String]) -> Vec<String> {
        let own = [self.name].into_iter().chain(LOCAL).map(str::to_owned);
        own.chain(hosts.iter().filter(|_| self.is_public).cloned()).collect()
    }
}

/// Issues missing certificates, those that lack a name, and all of them for a renewal. A
/// certificate of another authority stays.
///
/// # Errors
/// A host is no name, or a file cannot be read or written.
pub(crate) fn ensure(
    directory: &mut Directory,
    authority: &Authority,
    options: &SetupOptions,
) -> anyhow::Result<()> {
    for server in SERVERS {
        let mut names = server.names(&options.hosts);
        if let Some(found) = usable(directory, server)? {
            if !authority.has_issued(&found) {
                let file = server.certificate();
                directory.remarks.push(format!("{file} is of another authority and stays"));
                continue;
            }
            // A renewal keeps the names that an earlier setup was given.
            let is_complete = names.iter().all(|name| found.names.contains(name));
            let further = found.names.into_iter().filter(|name| !names.contains(name));
            let further: Vec<_> = further.collect();
            names.extend(further);
            if is_complete && !options.renew_certificates {
                continue;
            }
        }
        issue(directory, authority, server, names)?;
    }
    Ok(())
}

/// Returns the certificate of a server; `None` if it is missing or does not belong to its key, as
/// after a crash.
fn usable(directory: &Directory, server: Server) -> anyhow::Result<Option<Certificate>> {
    let file = server.certificate();
    let (pem, key) = (directory.read(&file)?, directory.read(&server.key())?);
    let (Some(pem), Some(key)) = (pem, key) else { return Ok(None) };
    let found =
        Certificate::parse(&pem).with_context(|| directory.at(&file).display().to_string())?;
    Ok(Some(found).filter(|found| found.belongs_to(&key)))
}

fn issue(
    directory: &mut Directory,
    authority: &Authority,
    server: Server,
    names: Vec<String>,
) -> anyhow::Result<()> {
    let mut params = CertificateParams::new(names).context("--host")?;
    params.distinguished_name.push(DnType::CommonName, server.name);
    params.use_authority_key_identifier_extension = true;
    // Kafka's broker is its own client, and a service shows its certificate to another one.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // A day earlier, for clocks that are late.
    (params.not_before, params.not_after) = (days_from_now(-1), days_from_now(DAYS));
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority.issuer(directory)?)?.pem();
    let key = key.serialize_pem();
    if server.is_one_file {
        return directory.write(&server.certificate(), &format!("{key}{certificate}"));
    }
    directory.write(&server.key(), &key)?;
    directory.write(&server.certificate(), &certificate)
}

/// Returns the ends of the certificates' validity, by file.
///
/// # Errors
/// A certificate cannot be read.
pub(crate) fn ends(directory: &Directory) -> anyhow::Result<Vec<(String, Date)>> {
    let mut ends = Vec::new();
    for file in SERVERS.map(Server::certificate) {
        let pem = directory.read(&file)?.with_context(|| format!("{file} is missing"))?;
        ends.push((file, Certificate::parse(&pem)?.until));
    }
    Ok(ends)
}

/// Returns true if a server has a certificate.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn any(directory: &Directory) -> anyhow::Result<bool> {
    for file in SERVERS.map(Server::certificate) {
        if directory.read(&file)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
