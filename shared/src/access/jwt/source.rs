//! Origin of the issuer's keys, which are read again while the service runs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::key_set::KeySet;
use super::refresh::Refresh;
use crate::health::Health;
use crate::tls;
use crate::watched_files::{Contents, WatchedFiles};

/// Name of the readiness check.
const CHECK: &str = "jwks";
/// Maximum length of a key set, in bytes.
const LONGEST: usize = 64 * 1024;
/// Time limit of a fetch.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Origin of the issuer's keys.
#[derive(Debug, Clone)]
pub struct KeySource(Kind);

#[derive(Debug, Clone)]
enum Kind {
    File(WatchedFiles, Contents),
    Url(Box<Url>, Option<PathBuf>, Pauses),
}

/// Pauses between two fetches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    /// Until the first success.
    pub(super) first: Duration,
    /// After it, at least; ends if a token has an unknown key.
    pub(super) least: Duration,
    /// After it, usually.
    pub(super) usual: Duration,
}

const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(5),
    least: Duration::from_secs(60),
    usual: Duration::from_secs(300),
};

impl KeySource {
    /// Returns the keys of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file(path: PathBuf) -> anyhow::Result<Self> {
        let (paths, longest) = (vec![path], LONGEST as u64);
        let file = WatchedFiles { paths, settings: "JWKS_FILE", check: CHECK, longest };
        let content = file.read()?;
        Ok(Self(Kind::File(file, content)))
    }

    /// Returns the keys of a URL, whose server has a certificate of an authority in the file `ca`,
    /// or else of a public one.
    ///
    /// # Errors
    /// The text is no https URL, and no http URL of a loopback address. The file has no
    /// certificate.
    pub fn url(text: &str, ca: Option<PathBuf>) -> anyhow::Result<Self> {
        Self::url_with(text, ca, PAUSES)
    }

    pub(super) fn url_with(
        text: &str,
        ca: Option<PathBuf>,
        pauses: Pauses,
    ) -> anyhow::Result<Self> {
        let url: Url = text.parse().context("is not a URL")?;
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        ensure!(
            url.scheme() == "https" || url.scheme() == "http" && is_local,
            "must be https, or http of a loopback address: whoever changes the keys on their way \
             can issue tokens"
        );
        ensure!(url.username().is_empty() && url.password().is_none(), "must not have a password");
        // A file that cannot be used ends the start.
        client(ca.as_deref())?;
        Ok(Self(Kind::Url(url.into(), ca, pauses)))
    }

    /// Gives changed keys to `adopt` until the shutdown. `refresh` says that a token has an unknown
    /// key, and learns when a fetch has ended.
    ///
    /// # Errors
    /// The HTTP client or a thread could not be started.
    pub(super) async fn follow(
        self,
        adopt: impl Fn(KeySet),
        refresh: &Refresh,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        match self.0 {
            Kind::File(file, first) => {
                let parse = |content: &[Vec<u8>]| KeySet::parse(&content[0]).map(&adopt);
                file.watch(first, parse, health, shutdown).await
            }
            Kind::Url(url, ca, pauses) => {
                let client = client(ca.as_deref())?;
                let fetching = fetch_again((&client, &url), pauses, adopt, refresh, &health);
                shutdown.run_until_cancelled(fetching).await.unwrap_or(Ok(()))
            }
        }
    }

    pub(super) fn first(&self) -> anyhow::Result<KeySet> {
        match &self.0 {
            Kind::File(file, content) => {
                KeySet::parse(&content[0]).with_context(|| file.paths[0].display().to_string())
            }
            Kind::Url(..) => Ok(KeySet::default()),
        }
    }
}

async fn fetch_again(
    (client, url): (&Client, &Url),
    pauses: Pauses,
    adopt: impl Fn(KeySet),
    refresh: &Refresh,
    health: &Health,
) -> anyhow::Result<()> {
    let mut last = None;
    loop {
        refresh.may_come();
        let fetched = fetch(client, url).await.and_then(|document| {
            // The same keys keep the verified tokens.
            if last.as_ref() != Some(&document) {
                adopt(KeySet::parse(&document)?);
                last = Some(document);
            }
            Ok(())
        });
        match fetched {
            Ok(()) => health.ok(CHECK),
            Err(error) => report(health, &error, last.is_some()),
        }
        refresh.has_ended();
        if last.is_none() {
            sleep(pauses.first).await;
            continue;
        }
        sleep(pauses.least).await;
        refresh.may_come();
        let rest = pauses.usual.saturating_sub(pauses.least);
        // Ends early, at the first token with an unknown key.
        let _ = timeout(rest, refresh.wanted()).await;
    }
}

fn report(health: &Health, error: &anyhow::Error, has_keys: bool) {
    let state = if has_keys { "the previous keys stay in force" } else { "no token is accepted" };
    health.degraded(CHECK, format!("JWKS_URL: {error:#}; {state}"));
}

fn client(ca: Option<&Path>) -> anyhow::Result<Client> {
    let client = Client::builder().tls_backend_preconfigured(tls::client::trusting(ca, None)?);
    // A redirect could lead to another host, and a proxy of the environment is for other requests.
    Ok(client.redirect(Policy::none()).no_proxy().timeout(TIMEOUT).build()?)
}

/// Fetches a key set.
async fn fetch(client: &Client, url: &Url) -> anyhow::Result<Vec<u8>> {
    let mut response = client.get(url.clone()).send().await?;
    let status = response.status();
    if !status.is_success() {
        bail!("{url} responds with {status}");
    }
    let mut document = Vec::new();
    while let Some(part) = response.chunk().await? {
        document.extend_from_slice(&part);
        ensure!(document.len() <= LONGEST, "{url} responds with more than {LONGEST} bytes");
    }
    Ok(document)
}
