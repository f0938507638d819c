//! Certificate, as far as setup needs its contents.

use std::net::IpAddr;

use anyhow::{Context, anyhow};
use rcgen::{KeyPair, PublicKeyData as _};
use time::{Date, Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

/// Contents of a certificate.
pub(crate) struct Certificate {
    /// True if it can issue others.
    pub(crate) is_authority: bool,
    /// Name of the issuer, encoded.
    pub(crate) issuer: Vec<u8>,
    /// Own name, encoded.
    pub(crate) subject: Vec<u8>,
    /// Host names and addresses.
    pub(crate) names: Vec<String>,
    /// Last day of its validity.
    pub(crate) until: Date,
    /// Public key, encoded.
    key: Vec<u8>,
}

impl Certificate {
    /// Reads the first certificate of a file's text, which may also have a private key.
    ///
    /// # Errors
    /// The text has no certificate that can be read.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut blocks = Pem::iter_from_buffer(text.as_bytes()).filter_map(Result::ok);
        let block = blocks.find(|block| block.label == "CERTIFICATE");
        let block = block.context("has no certificate (BEGIN CERTIFICATE)")?;
        let parsed = block.parse_x509();
        let parsed = parsed.map_err(|_| anyhow!("has a certificate that cannot be read"))?;
        Ok(Self {
            is_authority: parsed.is_ca(),
            issuer: parsed.issuer().as_raw().to_owned(),
            subject: parsed.subject().as_raw().to_owned(),
            names: names(&parsed),
            until: parsed.validity().not_after.to_datetime().date(),
            key: parsed.public_key().raw.to_owned(),
        })
    }

    /// Returns true if the private key in a file's text is the one of the certificate.
    pub(crate) fn belongs_to(&self, text: &str) -> bool {
        KeyPair::from_pem(text).is_ok_and(|key| key.subject_public_key_info() == self.key)
    }
}

/// Returns the time of a validity that begins or ends a number of days from now.
pub(crate) fn days_from_now(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(days)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let found = certificate.subject_alternative_name().ok().flatten();
    let names = found.into_iter().flat_map(|found| &found.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}
