//! Settings of TLS of the HTTP server.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::tls::client;
use crate::tls::identity::IdentityFiles;
use crate::tls::server::{ServerFiles, ServerTls};

/// Settings of TLS of the HTTP server.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsConfig {
    /// PEM file with the service's certificate, followed by the intermediate ones. With it, the
    /// service accepts HTTPS only. Changes of this and the next two files apply within a second.
    #[arg(long, env)]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, env)]
    pub tls_key_file: Option<PathBuf>,
    /// PEM file with the authorities of clients. With it, every client needs a certificate that one
    /// of them has issued.
    #[arg(long, env)]
    pub tls_client_ca_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Returns the TLS of a service that listens on an address; `None` without a certificate.
    ///
    /// # Errors
    /// A setting is missing, or a file is invalid.
    pub fn open(&self, addr: SocketAddr) -> anyhow::Result<Option<ServerTls>> {
        let Some(identity) = self.identity()? else {
            if !addr.ip().is_loopback() {
                tracing::warn!(
                    "TLS_CERT_FILE is not set: requests to {addr} and their API keys are not \
                     encrypted"
                );
            }
            return Ok(None);
        };
        let client_ca = self.tls_client_ca_file.clone();
        let tls = ServerTls::read(ServerFiles { identity, client_ca });
        tls.map(Some).context("TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE")
    }

    /// Returns the TLS of a client of the service with these settings.
    ///
    /// # Errors
    /// A setting is missing, or a file is invalid.
    pub fn own_client(&self) -> anyhow::Result<rustls::ClientConfig> {
        let Some(identity) = self.identity()? else { return client::trusting(None, None) };
        let is_shown = self.tls_client_ca_file.is_some();
        client::of_own_service(&identity, is_shown).context("TLS_CERT_FILE or TLS_KEY_FILE")
    }

    /// Returns the scheme of the service's URLs.
    pub fn scheme(&self) -> &'static str {
        if self.tls_cert_file.is_some() { "https" } else { "http" }
    }

    fn identity(&self) -> anyhow::Result<Option<IdentityFiles>> {
        match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(certificate), Some(key)) => {
                Ok(Some(IdentityFiles { certificate: certificate.clone(), key: key.clone() }))
            }
            (Some(_), None) => bail!("TLS_CERT_FILE is set, but TLS_KEY_FILE is not"),
            (None, Some(_)) => bail!("TLS_KEY_FILE is set, but TLS_CERT_FILE is not"),
            (None, None) => {
                ensure!(
                    self.tls_client_ca_file.is_none(),
                    "TLS_CLIENT_CA_FILE is set, but TLS_CERT_FILE is not"
                );
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::Authority;

    fn config(paths: [Option<&str>; 3]) -> TlsConfig {
        let [tls_cert_file, tls_key_file, tls_client_ca_file] =
            paths.map(|path| path.map(PathBuf::from));
        TlsConfig { tls_cert_file, tls_key_file, tls_client_ca_file }
    }

    #[test]
    fn a_certificate_has_its_key_and_without_it_there_is_no_tls() {
        let addr = "0.0.0.0:8080".parse().unwrap();
        let none = config([None, None, None]);
        assert!(none.open(addr).unwrap().is_none() && none.scheme() == "http");
        for (paths, reason) in [
            ([Some("c"), None, None], "TLS_CERT_FILE is set, but TLS_KEY_FILE is not"),
            ([None, Some("k"), None], "TLS_KEY_FILE is set, but TLS_CERT_FILE is not"),
            ([None, None, Some("a")], "TLS_CLIENT_CA_FILE is set, but TLS_CERT_FILE is not"),
            ([Some("/no/c"), Some("/no/k"), None], "TLS_CERT_FILE, TLS_KEY_FILE or"),
        ] {
            let config = config(paths);
            assert!(format!("{:#}", config.open(addr).unwrap_err()).contains(reason), "{reason}");
            assert!(config.own_client().is_err(), "{reason}");
        }
        let directory = tempfile::tempdir().unwrap();
        let issued = Authority::new("ours").unwrap().issue(&["localhost"]).unwrap();
        let files = issued.write(directory.path()).unwrap();
        let given = config([files.certificate.to_str(), files.key.to_str(), None]);
        assert!(given.open(addr).unwrap().is_some() && given.scheme() == "https");
    }
}
