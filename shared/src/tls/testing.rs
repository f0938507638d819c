//! Authorities, and certificates that they issue.

use std::path::{Path, PathBuf};

use chrono::{Datelike, TimeDelta};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::identity::IdentityFiles;
use crate::timestamp::Timestamp;

/// Certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Certificate with its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Certificate.
    pub certificate: String,
    /// Private key.
    pub key: String,
}

impl Authority {
    /// Creates an authority.
    ///
    /// # Errors
    /// No key can be generated.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Returns the authority's own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the authority's own certificate to a file, and returns its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<PathBuf> {
        std::fs::write(path, &self.pem)?;
        Ok(path.to_owned())
    }

    /// Issues a certificate for servers and clients, with host names and addresses.
    ///
    /// # Errors
    /// A name is invalid.
    pub fn issue(&self, names: &[&str]) -> anyhow::Result<Issued> {
        self.issue_for(names, 30)
    }

    /// Issues a certificate that ends after a number of days; a negative number is past.
    ///
    /// # Errors
    /// A name is invalid.
    pub fn issue_for(&self, names: &[&str], days: i64) -> anyhow::Result<Issued> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone())?;
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().cloned().unwrap_or_default());
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let day = |days| {
            let day = Timestamp::now().to_utc() + TimeDelta::days(days);
            let of_year = |number: u32| u8::try_from(number).unwrap_or(1);
            date_time_ymd(day.year(), of_year(day.month()), of_year(day.day()))
        };
        (params.not_before, params.not_after) = (day(-60), day(days));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}

impl Issued {
    /// Writes both to files of a directory, in place of earlier ones.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<IdentityFiles> {
        let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
        std::fs::write(&key, &self.key)?;
        std::fs::write(&certificate, &self.certificate)?;
        Ok(IdentityFiles { certificate, key })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}
