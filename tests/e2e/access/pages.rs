//! Requests that a web page of another site can send, and addresses that its name can resolve to.

use anyhow::ensure;
use reqwest::{Method, StatusCode};

use crate::client::Client;
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_changes_nothing() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("cross_site").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = commands.open().await?;
    let freeze = format!("/v1/accounts/{account}/freeze");
    for (client, path) in [(&commands, &*freeze), (&views, "/admin/verify")] {
        for (header, value) in [
            ("origin", "https://attacker.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("host", "attacker.example"),
        ] {
            // What a form sends: no preflight asks first.
            let sent = client.request(Method::POST, path).header("content-type", "text/plain");
            let response = sent.header(header, value).send().await?;
            let (status, text) = (response.status(), response.text().await?);
            ensure!(status == StatusCode::FORBIDDEN, "{path} {header} {value}: {status}: {text}");
        }
    }
    let state = commands.json(&format!("/v1/accounts/{account}/events")).await?;
    ensure!(state["data"].as_array().is_some_and(|events| events.len() == 1), "{state}");
    own_page(&commands, &freeze).await
}

/// Sends a change as a page of the service itself would.
async fn own_page(client: &Client, path: &str) -> anyhow::Result<()> {
    let request = client.request(Method::POST, path).build()?;
    let url = request.url().clone();
    let origin =
        format!("http://{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(80));
    let sent = client.request(Method::POST, path).header("origin", origin);
    let response = sent.header("sec-fetch-site", "same-origin").send().await?;
    ensure!(response.status().is_success(), "{}", response.text().await?);
    Ok(())
}
