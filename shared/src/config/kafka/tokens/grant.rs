//! Request of a token by the client credentials grant (RFC 6749, section 4.4).

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use form_urlencoded::Serializer;
use rdkafka::client::OAuthToken;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use thiserror::Error;

use super::super::KafkaConfig;
use crate::timestamp::Timestamp;
use crate::tls::client;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Lifetime of a token whose server names none.
const LIFETIME: u64 = 300;

/// Grant of a client.
pub(super) struct Grant {
    http: Client,
    endpoint: Url,
    id: String,
    secret: String,
    scope: Option<String>,
}

/// Issued token.
#[derive(Clone)]
pub(super) struct Issued {
    token: String,
    principal: String,
    lifetime: Duration,
    expires_ms: i64,
}

/// Reason why there is no token.
#[derive(Debug, Error)]
pub(super) enum GrantError {
    /// The server refuses the client.
    #[error("the token endpoint refuses the client: {0}")]
    Refused(StatusCode),
    /// The server does not answer, or not with a token.
    #[error("the token endpoint can't be used: {0}")]
    Unavailable(String),
}

impl GrantError {
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

#[derive(Deserialize)]
struct Response {
    access_token: String,
    expires_in: Option<u64>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl Issued {
    /// Returns the time until the next token is requested.
    pub(super) fn renewal(&self) -> Duration {
        (self.lifetime * 3 / 4).max(Duration::from_secs(1))
    }

    pub(super) fn for_kafka(&self) -> OAuthToken {
        OAuthToken {
            token: self.token.clone(),
            principal_name: self.principal.clone(),
            lifetime_ms: self.expires_ms,
        }
    }
}

impl Grant {
    /// Returns the grant of the settings; `None` unless they use tokens.
    ///
    /// # Errors
    /// A setting is missing or wrong; the message has its name.
    pub(super) fn of(kafka: &KafkaConfig) -> anyhow::Result<Option<Self>> {
        match kafka.option("sasl.oauthbearer.method") {
            None => return Ok(None),
            Some(method) if method.trim().eq_ignore_ascii_case("oidc") => {}
            Some(_) => bail!("KAFKA_OPTIONS: `sasl.oauthbearer.method` must be oidc"),
        }
        let required = |name: &str| {
            let value = kafka.option(name).map(str::trim).filter(|value| !value.is_empty());
            value.map(str::to_owned).with_context(|| format!("KAFKA_OPTIONS: `{name}` is missing"))
        };
        if kafka.option("sasl.oauthbearer.extensions").is_some() {
            bail!("KAFKA_OPTIONS: `sasl.oauthbearer.extensions` is not supported");
        }
        const URL: &str = "sasl.oauthbearer.token.endpoint.url";
        let endpoint = required(URL)?.parse().ok();
        let endpoint: Url =
            endpoint.with_context(|| format!("KAFKA_OPTIONS: `{URL}` is not a URL"))?;
        let ca = kafka.option("https.ca.location").map(|ca| Path::new(ca.trim()));
        let tls = client::trusting(ca, None).context("KAFKA_OPTIONS: `https.ca.location`")?;
        let http = Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(TIMEOUT);
        Ok(Some(Self {
            http: http.build().context("failed to set up the HTTP client")?,
            endpoint,
            id: required("sasl.oauthbearer.client.id")?,
            secret: required("sasl.oauthbearer.client.secret")?,
            scope: kafka.option("sasl.oauthbearer.scope").map(str::to_owned),
        }))
    }

    fn form(&self) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.extend_pairs(self.scope.iter().map(|scope| ("scope", scope)));
        form.finish()
    }

    /// Requests a token.
    pub(super) async fn request(&self) -> Result<Issued, GrantError> {
        let request = self
            .http
            .post(self.endpoint.clone())
            .basic_auth(&self.id, Some(&self.secret))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form());
        // The error without its URL, which can contain secrets.
        let unavailable = |error: reqwest::Error| {
            let error = anyhow::Error::from(error.without_url());
            GrantError::Unavailable(format!("{error:#}"))
        };
        let response = request.send().await.map_err(unavailable)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                return Err(GrantError::Refused(status));
            }
            status => return Err(GrantError::Unavailable(status.to_string())),
        }
        let issued: Response = response.json().await.map_err(unavailable)?;
        let lifetime = Duration::from_secs(issued.expires_in.unwrap_or(LIFETIME));
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2);
        Ok(Issued {
            token: issued.access_token,
            principal: self.id.clone(),
            lifetime,
            expires_ms: Timestamp::now().as_millis().saturating_add(lifetime_ms),
        })
    }
}
