//! Settings of tokens.

use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use crate::access::jwt::{KeySource, TokenRules, Tokens};

/// Settings of tokens.
#[derive(Debug, Clone, Default, Args)]
pub struct JwtConfig {
    /// Issuer of JSON Web Tokens, which are then accepted besides API keys: the exact value of
    /// their claim `iss`.
    #[arg(long, env)]
    pub jwt_issuer: Option<String>,
    /// Audience of tokens: their claim `aud` must be or contain it.
    #[arg(long, env)]
    pub jwt_audience: Option<String>,
    /// File with the issuer's public keys, a JWK Set. Changes apply within a second.
    #[arg(long, env)]
    pub jwks_file: Option<PathBuf>,
    /// URL of the issuer's public keys, instead of a file: https, or http of a loopback address.
    #[arg(long, env)]
    pub jwks_url: Option<String>,
    /// PEM file with the authorities of the certificate of JWKS_URL; by default the public ones.
    #[arg(long, env)]
    pub jwks_ca_file: Option<PathBuf>,
    /// Maximum number of requests per second of each principal of a token; by default no limit.
    #[arg(long, env)]
    pub jwt_rate: Option<NonZeroU32>,
}

impl JwtConfig {
    /// Returns the name of a setting that is set; an empty one is not.
    pub(super) fn any(&self) -> Option<&'static str> {
        let all = [
            ("JWT_ISSUER", text(self.jwt_issuer.as_ref()).is_some()),
            ("JWT_AUDIENCE", text(self.jwt_audience.as_ref()).is_some()),
            ("JWKS_FILE", path(self.jwks_file.as_ref()).is_some()),
            ("JWKS_URL", text(self.jwks_url.as_ref()).is_some()),
            ("JWKS_CA_FILE", path(self.jwks_ca_file.as_ref()).is_some()),
            ("JWT_RATE", self.jwt_rate.is_some()),
        ];
        all.iter().find(|(_, is_set)| *is_set).map(|(name, _)| *name)
    }

    /// Returns the verifier of tokens; `None` if no setting is set.
    ///
    /// # Errors
    /// A setting is missing or invalid, or the file of keys is.
    pub(super) fn tokens(&self) -> anyhow::Result<Option<Tokens>> {
        let Some(set) = self.any() else { return Ok(None) };
        let needed = |value: &Option<String>, name: &str| {
            let value = text(value.as_ref()).map(ToOwned::to_owned);
            value.with_context(|| format!("{name} is not set, but {set} is"))
        };
        let issuer = needed(&self.jwt_issuer, "JWT_ISSUER (--jwt-issuer)")?;
        let audience = needed(&self.jwt_audience, "JWT_AUDIENCE (--jwt-audience)")?;
        let (file, ca) = (path(self.jwks_file.as_ref()), path(self.jwks_ca_file.as_ref()));
        let (source, setting) = match (file, text(self.jwks_url.as_ref())) {
            (Some(_), None) if ca.is_some() => bail!("JWKS_CA_FILE is set without JWKS_URL"),
            (Some(path), None) => (KeySource::file(path), "JWKS_FILE (--jwks-file)"),
            (None, Some(url)) => (KeySource::url(url, ca), "JWKS_URL (--jwks-url)"),
            (None, None) => bail!("neither JWKS_FILE nor JWKS_URL is set, but {set} is"),
            (Some(_), Some(_)) => bail!("JWKS_FILE and JWKS_URL are both set: omit one"),
        };
        let rules = TokenRules { issuer, audience, rate: self.jwt_rate };
        source.and_then(|source| Tokens::new(rules, source)).context(setting).map(Some)
    }
}

fn text(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|value| !value.is_empty())
}

fn path(value: Option<&PathBuf>) -> Option<PathBuf> {
    value.filter(|path| !path.as_os_str().is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_tokens_are_complete_or_absent() {
        assert!(JwtConfig::default().tokens().unwrap().is_none());
        let (issuer, url) = (Some("https://id.example".to_owned()), "https://id.example/jwks");
        let whole = JwtConfig {
            jwt_issuer: issuer.clone(),
            jwt_audience: Some("passbook".to_owned()),
            jwks_url: Some(url.to_owned()),
            ..JwtConfig::default()
        };
        assert!(whole.tokens().unwrap().is_some());
        let file = Some(PathBuf::from("/no/such/file"));
        for (config, reason) in [
            (JwtConfig { jwt_issuer: None, ..whole.clone() }, "JWT_ISSUER (--jwt-issuer) is not"),
            (JwtConfig { jwt_audience: Some(String::new()), ..whole.clone() }, "JWT_AUDIENCE"),
            (JwtConfig { jwks_url: None, ..whole.clone() }, "neither JWKS_FILE nor JWKS_URL"),
            (JwtConfig { jwks_file: file.clone(), ..whole.clone() }, "both set"),
            (
                JwtConfig { jwks_ca_file: file.clone(), ..whole.clone() },
                "JWKS_URL (--jwks-url): /no/such/file: No such",
            ),
            (
                JwtConfig {
                    jwks_ca_file: file.clone(),
                    jwks_file: file.clone(),
                    jwks_url: None,
                    ..whole.clone()
                },
                "JWKS_CA_FILE is set without JWKS_URL",
            ),
            (
                JwtConfig { jwks_file: file, jwks_url: None, ..whole.clone() },
                "JWKS_FILE (--jwks-file): /no/such/file: No such",
            ),
            (
                JwtConfig { jwks_url: Some("http://id.example/jwks".to_owned()), ..whole.clone() },
                "JWKS_URL (--jwks-url): must be https",
            ),
        ] {
            let said = format!("{:#}", config.tokens().map(|_| ()).unwrap_err());
            assert!(said.contains(reason), "{said}");
        }
    }
}
