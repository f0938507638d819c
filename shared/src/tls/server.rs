//! TLS of the HTTP server, whose files are reloaded while the service runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, IdentityFiles};
use super::{HTTP_1_1, authorities, provider};
use crate::health::Health;
use crate::shutdown::Tasks;
use crate::timestamp::Timestamp;
use crate::watched_files::{Contents, WatchedFiles};

/// Interval between two checks of the certificate's expiry.
const EVERY: Duration = Duration::from_secs(1);
/// Name of the readiness check of the files.
const CHECK: &str = "tls";
/// Name of the readiness check of the expiry.
const EXPIRY_CHECK: &str = "certificate";
/// Maximum length of a file, in bytes.
const LONGEST: u64 = 1024 * 1024;
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

/// TLS of a server. Clones share what is reloaded.
#[derive(Debug, Clone)]
pub struct ServerTls {
    files: Arc<ServerFiles>,
    /// Contents of the files at the start.
    first: Arc<Contents>,
    current: Arc<RwLock<Current>>,
}

/// TLS of new connections.
#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    identity: Identity,
}

impl ServerFiles {
    fn watched(&self) -> WatchedFiles {
        let IdentityFiles { certificate, key } = self.identity.clone();
        let paths = [Some(certificate), Some(key), self.client_ca.clone()];
        WatchedFiles {
            paths: paths.into_iter().flatten().collect(),
            settings: "TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE",
            check: CHECK,
            longest: LONGEST,
        }
    }

    /// Parses the contents of [`ServerFiles::watched`].
    fn parse(&self, pem: &[Vec<u8>]) -> anyhow::Result<Current> {
        let identity = self.identity.parse(&pem[0], &pem[1])?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?;
        let config = match (&self.client_ca, pem.get(2)) {
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
        let first = files.watched().read()?;
        let current = Arc::new(RwLock::new(files.parse(&first)?));
        Ok(Self { files: Arc::new(files), first: Arc::new(first), current })
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
    /// No thread could be started.
    pub async fn watch(self, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
        metrics::describe_gauge!(
            REMAINING,
            metrics::Unit::Seconds,
            "Time until the certificate of the HTTP server expires; negative afterwards."
        );
        let adopt = |pem: &[Vec<u8>]| {
            let current = self.files.parse(pem)?;
            tracing::info!(expires = %current.identity.expires, "the certificate was reloaded");
            *self.current.write() = current;
            Ok(())
        };
        let first = self.first.to_vec();
        let files = self.files.watched().watch(first, adopt, health.clone(), shutdown.clone());
        let expiry = shutdown.run_until_cancelled(self.watch_expiry(&health));
        let (files, _) = tokio::join!(files, expiry);
        files
    }

    async fn watch_expiry(&self, health: &Health) {
        loop {
            let expires = self.current.read().identity.expires;
            let left = expires.to_utc() - Timestamp::now().to_utc();
            metrics::gauge!(REMAINING).set(left.as_seconds_f64());
            if left < TimeDelta::zero() {
                let why = "so clients refuse it";
                let reason = format!("TLS_CERT_FILE: the certificate expired at {expires}, {why}");
                health.degraded(EXPIRY_CHECK, reason);
            } else {
                health.ok(EXPIRY_CHECK);
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
