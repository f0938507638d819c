//! Certificate authority of an installation.

use anyhow::{Context, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::certificate::{Certificate, days_from_now};
use crate::directory::{Directory, PRIVATE};

/// File of the certificate.
pub(crate) const CERTIFICATE: &str = "ca.pem";
/// File of the private key.
const KEY: &str = "ca.key";
/// Files of the authority. A directory with one of them is of this program.
pub(crate) const FILES: [&str; 2] = [CERTIFICATE, KEY];
/// Folders whose containers verify certificates.
const VERIFIERS: [&str; 5] =
    ["kafka", "command-service", "command-migrate", "projection-service", "projection-migrate"];
/// Validity of the authority, in days.
const DAYS: i64 = 3650;

/// Certificate authority.
pub(crate) struct Authority {
    pem: String,
    /// Absent if the key is kept in another place.
    key: Option<String>,
}

impl Authority {
    /// Reads the authority, or creates it in a directory that has no certificates.
    ///
    /// # Errors
    /// The directory has the key without the certificate and other files, or a file is invalid.
    pub(crate) fn open(
        directory: &mut Directory,
        has_certificates: impl FnOnce(&Directory) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Self> {
        let (pem, key) = (directory.read(CERTIFICATE)?, directory.read(KEY)?);
        match (pem, key) {
            (Some(pem), key) => {
                let authority = Self { pem: format!("{pem}\n"), key };
                authority
                    .check()
                    .with_context(|| directory.at(CERTIFICATE).display().to_string())?;
                Ok(authority)
            }
            (None, Some(_)) if has_certificates(directory)? => bail!(
                "{} is missing, but certificates of it exist: bring it back, or choose another \
                 directory",
                directory.at(CERTIFICATE).display()
            ),
            // The key alone is what a crash between the two files leaves.
            (None, _) => Self::create(directory),
        }
    }

    fn create(directory: &mut Directory) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Passbook setup");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (days_from_now(-1), days_from_now(DAYS));
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let text = key.serialize_pem();
        directory.write_with_mode(KEY, &text, PRIVATE)?;
        // Public, but of no use to other users of the machine.
        directory.write_with_mode(CERTIFICATE, &pem, PRIVATE)?;
        Ok(Self { pem, key: Some(text) })
    }

    fn check(&self) -> anyhow::Result<()> {
        let certificate = Certificate::parse(&self.pem)?;
        ensure!(certificate.is_authority, "is not a certificate of an authority");
        if let Some(key) = &self.key {
            ensure!(certificate.belongs_to(key), "does not belong to ca.key");
        }
        Ok(())
    }

    /// Returns the authority as an issuer.
    ///
    /// # Errors
    /// The key is kept in another place, or is invalid.
    pub(crate) fn issuer(&self, directory: &Directory) -> anyhow::Result<Issuer<'static, KeyPair>> {
        let key = self.key.as_ref().with_context(|| {
            format!("{} is needed for new certificates: bring it back", directory.at(KEY).display())
        })?;
        let key = KeyPair::from_pem(key).ok().context("ca.key has no private key")?;
        Ok(Issuer::from_ca_cert_pem(&self.pem, key)?)
    }

    /// Returns true if the authority has issued a certificate, by its name.
    pub(crate) fn has_issued(&self, certificate: &Certificate) -> bool {
        Certificate::parse(&self.pem).is_ok_and(|own| own.subject == certificate.issuer)
    }

    /// Copies the certificate into the folders of those who verify certificates, where it is
    /// missing.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn copy(&self, directory: &mut Directory) -> anyhow::Result<()> {
        for folder in VERIFIERS {
            let file = format!("{folder}/{CERTIFICATE}");
            if directory.read(&file)?.is_none() {
                directory.write(&file, &self.pem)?;
            }
        }
        Ok(())
    }
}
