//! Listener for operators, while the API has no connection left and while the service stops.

use std::net::SocketAddr;

use anyhow::ensure;
use passbook_shared::http::healthcheck::healthcheck;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::environment::Environment;
use crate::infrastructure::known;
use crate::process::{eventually, ops_of};

const STORE: &str = "GET /v1/store HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Sends a request to the API and returns the response.
async fn sent(addr: SocketAddr, request: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_api_and_a_stop_hide_neither_health_nor_metrics() -> anyhow::Result<()> {
    let environment = Environment::new("operators").await?;
    let options = [("http-connections", "8".to_owned()), ("drain-seconds", "2".to_owned())];
    let mut service = environment.command_with("command-0", &options)?;
    service.ready().await?;
    let (addr, ops) = (service.addr, ops_of(service.addr));

    // A request whose body does not arrive. Without a key, it would end at once.
    let half = format!(
        "POST /v1/commands HTTP/1.1\r\n{}content-type: application/json\r\n\
         content-length: 9\r\n\r\n[",
        known()?
    );
    let mut held = Vec::new();
    loop {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(half.as_bytes()).await?;
        held.push(stream);
        // A connection whose head has not been read yet makes room for this one.
        if sent(addr, STORE).await?.starts_with("HTTP/1.1 503 ") {
            break;
        }
        ensure!(held.len() < 100, "the API serves more than 8 connections");
    }
    healthcheck(ops).await?;
    let metrics = service.client()?.metrics().await?;
    ensure!(metrics.contains("passbook_http_connections_refused_total"), "{metrics}");

    held.drain(..held.len() - 1);
    let asked = async {
        let http = reqwest::Client::new();
        let ready = format!("http://{ops}/health/ready");
        eventually("the service drains", async || {
            let response = http.get(&ready).send().await?;
            let (status, body) = (response.status(), response.text().await?);
            let is_draining = status == StatusCode::SERVICE_UNAVAILABLE;
            ensure!(is_draining && body.contains("this instance is stopping"), "{status}: {body}");
            Ok(())
        })
        .await?;
        eventually("the API accepts no more", async || {
            ensure!(TcpStream::connect(addr).await.is_err(), "it accepts");
            Ok(())
        })
        .await?;
        // The first request holds up the end.
        let live = http.get(format!("http://{ops}/health/live")).send().await?;
        ensure!(live.status() == StatusCode::OK, "{live:?}");
        held.clear();
        Ok(())
    };
    let (stopped, asked) = tokio::join!(service.stop(), asked);
    asked.and(stopped)
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_need_no_key_and_pages_are_refused() -> anyhow::Result<()> {
    let environment = Environment::new("operators_hosts").await?;
    let command = environment.command("command-0").await?;
    let projection = environment.projection("projection-0", &command).await?;
    let http = reqwest::Client::new();
    for service in [&command, &projection] {
        let url = |path: &str| format!("http://{}{path}", ops_of(service.addr));
        for (path, host, expected) in [
            ("/health/live", "127.0.0.1", StatusCode::OK),
            ("/health/ready", "10.0.0.7:9080", StatusCode::OK),
            ("/metrics", "localhost", StatusCode::OK),
            ("/metrics", "attacker.example", StatusCode::FORBIDDEN),
            ("/v1/store", "localhost", StatusCode::NOT_FOUND),
        ] {
            let response = http.get(url(path)).header("host", host).send().await?;
            ensure!(response.status() == expected, "{path} for {host}: {}", response.status());
        }
        let on_api = service.client()?.get("/metrics").await?;
        ensure!(on_api.status() == StatusCode::NOT_FOUND, "{}", on_api.status());
    }
    Ok(())
}
