//! Subcommands for operators: clients of a running service's HTTP API.

mod accept;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use passbook_shared::access::client_key::{self, ClientOptions};
use passbook_shared::config::TlsConfig;
use passbook_shared::http::problem::Problem;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;

pub use accept::{AcceptOptions, accept_restore};

/// Running service.
#[derive(Debug, Clone)]
struct Service {
    client: Client,
    base: String,
}

impl Service {
    fn at(addr: SocketAddr, tls: &TlsConfig, options: &ClientOptions) -> anyhow::Result<Self> {
        // The service is local or in the same network, so proxy settings do not apply.
        let client = Client::builder()
            .tls_backend_preconfigured(tls.own_client()?)
            .no_proxy()
            .default_headers(client_key::headers(options.key_file.as_ref()))
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(300));
        Ok(Self { client: client.build()?, base: format!("{}://{addr}", tls.scheme()) })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let away = || {
            format!(
                "the command-service at {} (COMMAND_ADDR) does not answer: is it running?",
                self.base
            )
        };
        let response = request.send().await.with_context(away)?;
        let status = response.status();
        if status.is_success() {
            return response
                .json()
                .await
                .context("the answer of the command-service cannot be read");
        }
        match response.json::<Problem>().await {
            Ok(problem) => bail!("{} ({})", problem.detail, problem.code),
            Err(_) => bail!("the command-service answered {status}"),
        }
    }
}
