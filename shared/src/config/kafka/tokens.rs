//! OAuth tokens for Kafka (SASL OAUTHBEARER). librdkafka requests tokens itself only in a build
//! with libcurl. Here, the settings of that feature are read by this module, under the same names.

mod grant;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::{Client, OAuthToken};
use tokio::time::sleep;

use self::grant::{Grant, Issued};
use super::KafkaConfig;
use crate::shutdown::CancellationToken;

/// Pause before a failed request is sent again.
const RETRY: Duration = Duration::from_secs(1);
/// Settings that are read here. librdkafka does not get them.
const OWN: [&str; 7] = [
    "https.ca.location",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
];

/// Current token of all clients of a process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Arc<Mutex<Option<Issued>>>);

/// Returns true if a setting is one of this module.
pub(super) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

impl KafkaConfig {
    /// Checks the settings of tokens.
    ///
    /// # Errors
    /// A setting is missing or wrong; the message has its name.
    pub(super) fn check_tokens(&self) -> anyhow::Result<()> {
        Grant::of(self).map(drop)
    }

    /// Requests tokens until the shutdown, each before the last one expires. Returns at once
    /// without settings of tokens. `first` is called with the first token in force.
    ///
    /// # Errors
    /// The first request is refused. Later refusals, and a server that is away, are tried again.
    pub(super) async fn keep_tokens(
        &self,
        shutdown: &CancellationToken,
        first: impl FnOnce(),
    ) -> anyhow::Result<()> {
        let mut first = Some(first);
        let Some(grant) = Grant::of(self)? else {
            first.take().into_iter().for_each(|first| first());
            return Ok(());
        };
        let mut pause = Duration::ZERO;
        while shutdown.run_until_cancelled(sleep(pause)).await.is_some() {
            pause = match grant.request().await {
                Ok(issued) => {
                    let pause = issued.renewal();
                    *self.tokens.0.lock() = Some(issued);
                    first.take().into_iter().for_each(|first| first());
                    pause
                }
                Err(error) if error.is_refusal() && first.is_some() => {
                    return Err(anyhow::Error::from(error).context("KAFKA_OPTIONS: no OAuth token"));
                }
                Err(error) => {
                    tracing::warn!(%error, "Kafka's OAuth token could not be renewed");
                    RETRY
                }
            };
        }
        Ok(())
    }

    /// Returns the current token, for the callback of a client.
    ///
    /// # Errors
    /// There is no token yet.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.tokens.0.lock();
        Ok(tokens.as_ref().ok_or("there is no OAuth token yet")?.for_kafka())
    }

    /// Gives the current token to a new client, which would otherwise ask for it when it is polled.
    pub fn authorize<C: ClientContext>(&self, client: &Client<C>) {
        let Ok(token) = self.token() else { return };
        // Tokens are base64 and names are ASCII, so neither contains NUL.
        let (Ok(value), Ok(principal)) =
            (CString::new(token.token), CString::new(token.principal_name))
        else {
            return;
        };
        let mut message = [0; 256];
        #[expect(unsafe_code, reason = "the safe interface sets tokens only while it polls")]
        // SAFETY: the client lives as long as the borrow, the texts end with NUL, librdkafka copies
        // them, and writes no more than the length of `message`.
        let code = unsafe {
            rd_kafka_oauthbearer_set_token(
                client.native_ptr(),
                value.as_ptr(),
                token.lifetime_ms,
                principal.as_ptr(),
                ptr::null_mut(),
                0,
                message.as_mut_ptr(),
                message.len(),
            )
        };
        tracing::debug!(?code, "a Kafka client got an OAuth token");
    }
}
