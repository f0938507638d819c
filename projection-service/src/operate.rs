//! Subcommands that call a running service through its HTTP API.

mod replay;
mod verify;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use passbook_shared::access::client_key::{self, ClientOptions};
use passbook_shared::config::TlsConfig;
use passbook_shared::http::problem::Problem;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;

pub use replay::{ReplayOptions, replay};
pub use verify::verify;

/// Polling interval.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Creates a progress bar of events whose total may be unknown.
fn bar() -> anyhow::Result<ProgressBar> {
    let template = "{msg:14} {bar:30} {human_pos} of {human_len} events, {rate}, {eta} left";
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let per_second = state.per_sec() as u64;
        // Only an error of the terminal is possible here.
        let _ = write!(out, "{}/s", HumanCount(per_second));
    };
    Ok(ProgressBar::no_length()
        .with_style(ProgressStyle::with_template(template)?.with_key("rate", rate)))
}

/// Client of a running service.
#[derive(Debug, Clone)]
struct Service {
    client: Client,
    base: String,
}

impl Service {
    fn at(addr: SocketAddr, tls: &TlsConfig, options: &ClientOptions) -> anyhow::Result<Self> {
        let (connect, whole) = (Duration::from_secs(5), Duration::from_secs(30));
        let client = Client::builder()
            .tls_backend_preconfigured(tls.own_client()?)
            .no_proxy()
            .default_headers(client_key::headers(options.key_file.as_ref()))
            .connect_timeout(connect)
            .timeout(whole)
            .build()?;
        Ok(Self { client, base: format!("{}://{addr}", tls.scheme()) })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let away = || {
            format!(
                "the projection-service at {} (PROJECTION_ADDR) does not answer: is it running?",
                self.base
            )
        };
        let response = request.send().await.with_context(away)?;
        if response.status().is_success() {
            return response
                .json()
                .await
                .context("failed to decode the projection-service's answer");
        }
        let status = response.status();
        match response.json::<Problem>().await {
            Ok(problem) => {
                let fields = problem
                    .errors
                    .iter()
                    .map(|error| format!("\n  {}: {}", error.field, error.detail));
                bail!("{} ({}){}", problem.detail, problem.code, fields.collect::<String>())
            }
            Err(_) => bail!("the projection-service answered {status}"),
        }
    }
}
