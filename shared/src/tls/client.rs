//! TLS of HTTP clients: of another service, or of the own one.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::identity::IdentityFiles;
use super::server::ServerTls;
use super::{HTTP_1_1, authorities, provider};

/// Returns the TLS of a client that trusts the authorities of a file, or else the public ones. To a
/// server that requires a certificate, the client shows that of its own service.
///
/// # Errors
/// The file cannot be read or has no valid certificate.
pub fn trusting(ca: Option<&Path>, own: Option<ServerTls>) -> anyhow::Result<ClientConfig> {
    let roots = ca.map_or_else(|| Ok(authorities::public()), authorities::of_file)?;
    with_roots(roots, own)
}

fn with_roots(roots: Arc<RootCertStore>, own: Option<ServerTls>) -> anyhow::Result<ClientConfig> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
    let config = verified_by(verifier)?;
    Ok(match own {
        Some(own) => over_http(config.with_client_cert_resolver(Arc::new(Shown(own)))),
        None => over_http(config.with_no_client_auth()),
    })
}

/// Returns the TLS of a client of the own service, which accepts exactly the service's certificate
/// and needs no authority or host name. `shown` makes it show that certificate as its own.
///
/// # Errors
/// The certificate cannot be read, or does not fit its key.
pub fn of_own_service(files: &IdentityFiles, shown: bool) -> anyhow::Result<ClientConfig> {
    files.certificate()?;
    let config = verified_by(Arc::new(Pinned(files.clone())))?;
    Ok(if shown {
        let certified = files.identity()?.certified;
        over_http(config.with_client_cert_resolver(Arc::new(Always(certified))))
    } else {
        over_http(config.with_no_client_auth())
    })
}

type Unauthenticated = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn verified_by(verifier: Arc<dyn ServerCertVerifier>) -> anyhow::Result<Unauthenticated> {
    let config =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(verifier))
}

fn over_http(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config
}

/// Current certificate of a server, shown by a client.
#[derive(Debug)]
struct Shown(ServerTls);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Certificate that a client shows.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Accepts the certificate in a file, which is read again at each handshake.
#[derive(Debug)]
struct Pinned(IdentityFiles);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let other = |error: anyhow::Error| {
            Error::Other(OtherError(Arc::from(error.into_boxed_dyn_error())))
        };
        if self.0.certificate().map_err(other)? == *certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
