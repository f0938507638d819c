//! Encrypted connections: HTTPS of both services, and TLS of Postgres and Kafka.

/// HTTPS of both services.
mod http;
/// TLS of Kafka, with certificates and passwords.
mod kafka;
/// TLS of Postgres.
mod postgres;
/// Server that issues OAuth tokens.
mod tokens;

use std::path::PathBuf;

use anyhow::ensure;
use passbook_shared::tls::testing::Authority;

use crate::environment::Service;
use crate::infrastructure::directory;

/// Creates a directory for certificates.
fn files(name: &str) -> anyhow::Result<PathBuf> {
    let path = directory()?.join(format!("{name}-certificates"));
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

/// Writes the certificate of a new authority.
fn authority(name: &str, files: &std::path::Path) -> anyhow::Result<(Authority, PathBuf)> {
    let authority = Authority::new(name)?;
    let path = authority.write(&files.join(format!("{name}.crt")))?;
    Ok((authority, path))
}

/// Waits until a service has ended at its start, for a reason with these words.
async fn refuses(service: &mut Service, words: &[&str]) -> anyhow::Result<()> {
    let before = service.output().len();
    service.start()?;
    let output = service.ended().await?;
    let said = &output[before..];
    ensure!(words.iter().all(|word| said.contains(word)), "{words:?} not in: {said}");
    Ok(())
}
