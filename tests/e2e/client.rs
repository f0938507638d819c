//! Client of the services.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::access::client_key;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use crate::infrastructure::keys;
use crate::process::ops_of;

/// Longest time that a request may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Number of attempts while the service answers 503.
const ATTEMPTS: u32 = 20;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Client of the instances of a service, which it asks in turn.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    scheme: &'static str,
    instances: Arc<[SocketAddr]>,
    turn: Arc<AtomicUsize>,
}

impl Client {
    pub(crate) fn new(instances: &[SocketAddr]) -> anyhow::Result<Self> {
        Self::trusting(instances, None)
    }

    /// Returns a client that uses HTTPS and trusts an authority, if one is given.
    pub(crate) fn trusting(instances: &[SocketAddr], ca: Option<&Path>) -> anyhow::Result<Self> {
        let headers = client_key::headers(Some(&keys()?.operator_key()?));
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(passbook_shared::tls::client::trusting(ca, None)?)
            .timeout(TIMEOUT)
            .default_headers(headers)
            .build()?;
        let scheme = if ca.is_some() { "https" } else { "http" };
        Ok(Self { http, scheme, instances: instances.into(), turn: Arc::default() })
    }

    fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.instance())
    }

    /// Returns the instance whose turn it is.
    fn instance(&self) -> SocketAddr {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.instances.len();
        self.instances[turn]
    }

    /// Sends a GET and returns the response, whatever its status.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.http.get(self.url(path)).header("prefer", "wait=10").send().await?)
    }

    /// Returns the metrics of an instance.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let url = format!("http://{}/metrics", ops_of(self.instance()));
        Ok(self.http.get(url).send().await?.error_for_status()?.text().await?)
    }

    /// Sends a GET and returns the body.
    ///
    /// # Errors
    /// The status is not 200.
    pub(crate) async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.get(path).await?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(status == StatusCode::OK, "GET {path}: {status}: {body}");
        serde_json::from_str(&body).with_context(|| format!("GET {path}: {body}"))
    }

    /// Begins any other request.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// Sends a POST and returns the response, whatever its status.
    pub(crate) async fn post(
        &self,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<Response> {
        let mut request = self.http.post(self.url(path)).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Ok(request.send().await?)
    }

    /// Opens an account with 10,000.00 EUR.
    pub(crate) async fn open(&self) -> anyhow::Result<Uuid> {
        let account = Uuid::new_v4();
        let body = json!({"account_id": account, "owner": "ada", "currency": "EUR",
            "initial_deposit": 1_000_000});
        self.create("/v1/accounts", None, &body).await?;
        Ok(account)
    }

    /// Makes a deposit and returns its answer.
    pub(crate) async fn deposit(
        &self,
        account: Uuid,
        key: Option<&str>,
        amount: i64,
    ) -> anyhow::Result<Value> {
        let path = format!("/v1/accounts/{account}/deposits");
        Ok(serde_json::from_str(&self.create(&path, key, &json!({"amount": amount})).await?)?)
    }

    /// Sends a POST that must be answered with 201, again with the same key as long as the answer
    /// is 503.
    async fn create(&self, path: &str, key: Option<&str>, body: &Value) -> anyhow::Result<String> {
        let key = key.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        for _ in 0..ATTEMPTS {
            let response = self.post(path, Some(&key), body).await?;
            if response.status() != StatusCode::SERVICE_UNAVAILABLE {
                return created(response).await;
            }
            sleep(PAUSE).await;
        }
        created(self.post(path, Some(&key), body).await?).await
    }
}

/// Returns the body of a 201.
pub(crate) async fn created(response: Response) -> anyhow::Result<String> {
    let (url, status) = (response.url().clone(), response.status());
    let body = response.text().await?;
    ensure!(status == StatusCode::CREATED, "POST {url}: {status}: {body}");
    Ok(body)
}
