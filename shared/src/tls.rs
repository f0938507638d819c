//! TLS of the HTTP server and of HTTP clients. Its algorithms are those of aws-lc-rs.

/// Certificate authorities that a peer's certificate can come from.
pub mod authorities;
/// TLS of HTTP clients.
pub mod client;
/// Certificates with their keys.
pub mod identity;
/// TLS of the HTTP server.
pub mod server;
/// Certificates for tests.
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Protocol that the service speaks within TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Returns the algorithms.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Sets the algorithms for libraries that use the default of the process. Other libraries bring a
/// second implementation into the process, so without a default theirs would be ambiguous.
pub fn install() {
    // A default that is installed already is this one.
    let _ = aws_lc_rs::default_provider().install_default();
}
