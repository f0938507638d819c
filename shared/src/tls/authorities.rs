//! Sets of certificate authorities.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Returns the public authorities of the web, which issue certificates for public host names.
pub fn public() -> Arc<RootCertStore> {
    Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

/// Reads authorities from a PEM file.
///
/// # Errors
/// The file cannot be read, or has no certificate or an invalid one.
pub fn of_file(path: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let pem = std::fs::read(path).with_context(|| path.display().to_string())?;
    of_pem(&pem).with_context(|| path.display().to_string())
}

/// Reads authorities from PEM.
pub(super) fn of_pem(pem: &[u8]) -> anyhow::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.context("has a certificate that can't be read")?;
        store.add(certificate).context("has an invalid certificate")?;
    }
    ensure!(!store.is_empty(), "has no certificate (BEGIN CERTIFICATE)");
    Ok(Arc::new(store))
}
