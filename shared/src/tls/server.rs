//! TLS of the HTTP server, whose files are reloaded while the service runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, IdentityFiles, IdentityPem};
use super::{HTTP_1_1, authorities, provider};
use crate::health::Health;
use crate::shutdown::Tasks;
use crate::timestamp::Timestamp;

/// Interval between two reads of the files.
const EVERY: Duration = Duration::from_millis(500);
/// Name of the readiness check.
const CHECK: &str = "tls";
/// Gauge of the time until the certificate expires.
const REMAINING: &str = "passbook_tls_certificate_remaining_seconds";

/// Files of a server's TLS, in PEM.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    /// Certificate of the service.
    pub identity: IdentityFiles,
    /// Authorities of clients. With them, each client must show a certificate.
    pub client_ca: Option<PathBuf>,
}

/// Contents of these files.
#[derive(Clone, PartialEq, Eq)]
struct ServerPem {
    identity: IdentityPem,
    client_ca: Option<Vec<u8>>,
}

/// TLS of a server. Clones share what is reloaded.
#[derive(Debug, Clone)]
pub struct ServerTls {
    files: Arc<ServerFiles>,
    current: Arc<RwLock<Current>>,
}

/// TLS of new connections.
#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    identity: Identity,
}

impl ServerFiles {
    fn read(&self) -> anyhow::Result<ServerPem> {
        let client_ca = self
            .client_ca
            .as_ref()
            .map(|path| std::fs::read(path).with_context(|| path.display().to_string()));
        Ok(ServerPem { identity: self.identity.read()?, client_ca: client_ca.transpose()? })
    }

    fn parse(&self, pem: &ServerPem) -> anyhow::Result<Current> {
        let identity = self.identity.parse(&pem.identity)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?;
        let config = match (&self.client_ca, &pem.client_ca) {
            (Some(path), Some(pem)) => {
                let path = || path.display().to_string();
                let roots = authorities::of_pem(pem).with_context(path)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
                config.with_client_cert_verifier(verifier.with_context(path)?)
            }
            _ => config.with_no_client_auth(),
        };
        let certificate = SingleCertAndKey::from(Arc::clone(&identity.certified));
        let mut config = config.with_cert_resolver(Arc::new(certificate));
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Current { config: Arc::new(config), identity })
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or is invalid, or the certificate has expired.
    pub fn read(files: ServerFiles) -> anyhow::Result<Self> {
        let current = files.parse(&files.read()?)?;
        Ok(Self { files: Arc::new(files), current: Arc::new(RwLock::new(current)) })
    }

    /// Returns the handshake of a new connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().config))
    }

    /// Returns the current certificate.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().identity.certified)
    }

    /// Starts the task that reloads changed files, if there are any.
    pub fn keep(this: Option<&Self>, tasks: &mut Tasks, health: &Health) {
        if let Some(tls) = this {
            let watching = tls.clone().watch(health.clone(), tasks.shutdown());
            tasks.spawn("the watch of the certificate", watching);
        }
    }

    /// Reloads changed files until the shutdown. Open connections keep their keys. Invalid files
    /// change nothing and degrade readiness.
    ///
    /// # Errors
    /// None.
    pub async fn watch(self, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
        metrics::describe_gauge!(
            REMAINING,
            metrics::Unit::Seconds,
            "Time until the certificate of the HTTP server expires; negative afterwards."
        );
        let mut last = None;
        loop {
            let files = Arc::clone(&self.files);
            let known = last.clone();
            // A network file system can block the read.
            let read = tokio::task::spawn_blocking(move || {
                let pem = files.read()?;
                let is_new = known.as_ref() != Some(&pem);
                let parsed = if is_new { Some(files.parse(&pem)?) } else { None };
                anyhow::Ok((pem, parsed))
            });
            let read = read.await?;
            if let Ok((pem, Some(current))) = &read {
                // The first read confirms the files of the start.
                if last.replace(pem.clone()).is_some() {
                    tracing::info!(
                        expires = %current.identity.expires, "the certificate was reloaded"
                    );
                }
                *self.current.write() = current.clone();
            }
            self.report(&health, read.err());
            if shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return Ok(());
            }
        }
    }

    fn report(&self, health: &Health, error: Option<anyhow::Error>) {
        let identity = self.current.read().identity.clone();
        record_expiry(&identity);
        if let Some(error) = error {
            let reason = format!(
                "TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE: {error:#}; the previous files \
                 stay in force"
            );
            health.degraded(CHECK, reason);
        } else if identity.expires < Timestamp::now() {
            let reason = format!(
                "TLS_CERT_FILE: the certificate expired at {}, so clients refuse it",
                identity.expires
            );
            health.degraded(CHECK, reason);
        } else {
            health.ok(CHECK);
        }
    }
}

fn record_expiry(identity: &Identity) {
    let left = identity.expires.to_utc() - Timestamp::now().to_utc();
    metrics::gauge!(REMAINING).set(left.as_seconds_f64());
}
