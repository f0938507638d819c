//! Certificate chains with their private keys.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use super::provider;
use crate::timestamp::Timestamp;

/// Files of a certificate chain and of its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// File of the chain; the certificate itself comes first.
    pub certificate: PathBuf,
    /// File of the private key.
    pub key: PathBuf,
}

/// Certificate chain with its private key.
#[derive(Clone)]
pub struct Identity {
    /// Chain and key.
    pub certified: Arc<CertifiedKey>,
    /// End of the certificate's validity.
    pub expires: Timestamp,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl IdentityFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// A file cannot be read, or the two are not a valid certificate with its key.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
        self.parse(&read(&self.certificate)?, &read(&self.key)?)
    }

    /// Parses the contents of the files, whose names are for errors.
    pub(super) fn parse(&self, certificate: &[u8], key: &[u8]) -> anyhow::Result<Identity> {
        let chain = chain(certificate);
        let chain = chain.with_context(|| self.certificate.display().to_string())?;
        let expires = chain.first().map_or_else(|| bail!("is empty"), valid_until);
        let expires = expires.with_context(|| self.certificate.display().to_string())?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            PemError::NoItemsFound => anyhow!("has no private key (BEGIN PRIVATE KEY)"),
            // Other errors could quote the file.
            _ => anyhow!("has a private key that can't be read"),
        });
        let key = key.with_context(|| self.key.display().to_string())?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).with_context(|| {
            format!("{} and {}", self.certificate.display(), self.key.display())
        })?;
        Ok(Identity { certified: Arc::new(certified), expires })
    }

    /// Reads the certificate, without its chain and key.
    pub(super) fn certificate(&self) -> anyhow::Result<CertificateDer<'static>> {
        let path = || self.certificate.display().to_string();
        let pem = std::fs::read(&self.certificate).with_context(path)?;
        chain(&pem).with_context(path)?.into_iter().next().context("is empty")
    }
}

fn chain(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.context("has a certificate that can't be read")?;
    if chain.is_empty() {
        bail!("has no certificate (BEGIN CERTIFICATE)");
    }
    Ok(chain)
}

/// Returns the end of a certificate's validity.
fn valid_until(certificate: &CertificateDer<'_>) -> anyhow::Result<Timestamp> {
    let (_, parsed) = parse_x509_certificate(certificate)
        .map_err(|error| anyhow!("has a certificate that can't be read: {error}"))?;
    let (from, until) = (parsed.validity().not_before, parsed.validity().not_after);
    let (from, until) = (time(from.timestamp())?, time(until.timestamp())?);
    let now = Timestamp::now();
    if until < now {
        bail!("has a certificate that expired at {until}");
    }
    if from > now {
        bail!("has a certificate that is not valid until {from}");
    }
    Ok(until)
}

fn time(seconds: i64) -> anyhow::Result<Timestamp> {
    let micros = seconds.checked_mul(1_000_000).and_then(Timestamp::from_micros);
    micros.context("has a certificate with an impossible time")
}
