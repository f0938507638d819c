//! Keys of an issuer that both services fetch over HTTPS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use axum::Router;
use axum::routing::get;
use passbook_shared::http::limits::HttpConfig;
use passbook_shared::http::server;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::tls::server::{ServerFiles, ServerTls};
use passbook_shared::tls::testing::Authority;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::ask;
use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::directory;
use crate::issuer::issuer;
use crate::process::eventually;

/// Replaces the file of keys by a URL, whose server has a certificate of the authority.
async fn fetches(service: &mut Service, url: &str, ca: &str) -> anyhow::Result<()> {
    service.stop().await?;
    service.unset("jwks-file");
    service.set("jwks-url", url);
    service.set("jwks-ca-file", ca);
    service.start()?;
    service.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn services_fetch_the_keys_of_the_issuer_over_https() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("jwks").await?, 1).await?;
    let files = directory()?.join("jwks-certificates");
    std::fs::create_dir_all(&files)?;
    let (ours, others) = (Authority::new("ours")?, Authority::new("others")?);
    let ca = ours.write(&files.join("ours.crt"))?.display().to_string();
    let other_ca = others.write(&files.join("others.crt"))?.display().to_string();
    let identity = ours.issue(&["localhost"])?.write(&files)?;
    let tls = ServerTls::read(ServerFiles { identity, client_ca: None })?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://localhost:{}/jwks", listener.local_addr()?.port());
    let (document, requests) =
        (std::fs::read_to_string(&issuer()?.file)?, Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&requests);
    let respond = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(document.clone())
    };
    let (app, until) = (Router::new().route("/jwks", get(respond)), CancellationToken::new());
    tokio::spawn(server::serve(HttpConfig::default(), listener, app, Some(tls), until));

    let token = format!("Bearer {}", issuer()?.token("ada", "accounts:read log:read", &json!({}))?);
    for service in pair.commands.iter_mut().chain(&mut pair.projections) {
        fetches(service, &url, &ca).await?;
        let path = if service.part == "command-service" { "/v1/store" } else { "/v1/accounts" };
        // Even a first request during the first fetch is not refused.
        let (status, answer) = ask(service, Method::GET, path, Some(&token), None).await?;
        ensure!(status == StatusCode::OK, "{}: {status}: {answer}", service.part);

        fetches(service, &url, &other_ca).await?;
        let before = requests.load(Ordering::Relaxed);
        let (status, _) = ask(service, Method::GET, path, Some(&token), None).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "{status} with keys of an unknown server");
        eventually("readiness has the reason", async || {
            let health = service.client()?.get("/health/ready").await?.text().await?;
            ensure!(health.contains("JWKS_URL") && health.contains("degraded"), "{health}");
            Ok(())
        })
        .await?;
        ensure!(requests.load(Ordering::Relaxed) == before, "the keys were sent");
    }
    Ok(())
}
