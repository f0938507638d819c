//! Properties of every route: OPTIONS, HEAD, compression.

use anyhow::{Context, ensure};
use reqwest::{Method, StatusCode};

use super::send;
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_options_and_every_read_has_a_head() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("options").await?, 1).await?;
    let account = pair.command()?.open().await?;
    pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    for service in [&pair.commands[0], &pair.projections[0]] {
        let document = service.client()?.json("/openapi.json").await?;
        for (path, operations) in document["paths"].as_object().context("no paths")? {
            let url = path.replace("{id}", &account.to_string()).replace("{version}", "1");
            let (status, headers, _) = send(service, Method::OPTIONS, &url, &[], "").await?;
            let allowed =
                headers.get("allow").map(|allow| allow.to_str()).transpose()?.unwrap_or_default();
            ensure!(status == StatusCode::NO_CONTENT, "OPTIONS {path}: {status}");
            for method in operations.as_object().context("no operations")?.keys() {
                let method = method.to_uppercase();
                ensure!(
                    allowed.split(',').any(|allowed| allowed == method),
                    "{path}: `{allowed}` lacks {method}"
                );
            }
        }
        for path in ["/openapi.json", "/health/live", &format!("/v1/accounts/{account}/events")] {
            if path.starts_with("/v1") && service.addr != pair.commands[0].addr {
                continue;
            }
            let (status, headers, body) = send(service, Method::HEAD, path, &[], "").await?;
            ensure!(
                status == StatusCode::OK && headers.contains_key("content-type"),
                "HEAD {path}: {status}"
            );
            ensure!(body.as_str() == Some(""), "HEAD {path}: {body}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_on_request() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("compressed").await?, 1).await?;
    for service in [&pair.commands[0], &pair.projections[0]] {
        let http = reqwest::Client::new();
        let get = |path: &str| http.get(format!("http://{}{path}", service.addr));
        let plain = get("/openapi.json").send().await?;
        ensure!(!plain.headers().contains_key("content-encoding"), "{:?}", plain.headers());
        let compressed = get("/openapi.json").header("accept-encoding", "br, gzip").send().await?;
        ensure!(
            compressed.headers().get("content-encoding").is_some_and(|coding| coding == "gzip"),
            "{compressed:?}"
        );
        let (plain, compressed) = (plain.bytes().await?, compressed.bytes().await?);
        ensure!(
            compressed.starts_with(&[0x1f, 0x8b]) && compressed.len() * 4 < plain.len(),
            "{}",
            compressed.len()
        );
        let small = get("/health/live").header("accept-encoding", "gzip").send().await?;
        ensure!(!small.headers().contains_key("content-encoding"), "{:?}", small.headers());
    }
    Ok(())
}
