//! OpenAPI documents, their page, metrics and health of both services.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::environment::{Environment, Pair};
use crate::process::eventually;

/// First words of operation ids, which become method names of generated clients.
const VERBS: [&str; 21] = [
    "accept", "cancel", "capture", "change", "check", "close", "create", "discard", "execute",
    "freeze", "get", "list", "open", "place", "release", "retry", "set", "settle", "start",
    "stream", "unfreeze",
];

#[tokio::test(flavor = "multi_thread")]
async fn both_services_document_and_measure_themselves() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("documents").await?, 1).await?;
    let account = pair.command()?.open().await?;
    let deposit = json!({"type": "deposit", "account_id": account, "amount": 1});
    let both = json!({"atomic": true, "commands": [deposit, deposit]});
    pair.command()?.post("/v1/commands", None, &both).await?;
    pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=3")).await?;
    let counted = [
        (pair.command()?, "passbook_commands_total{command=\"open\",outcome=\"accepted\"} 1"),
        (pair.command()?, "passbook_lane_wait_seconds_bucket{le=\"+Inf\"} 2"),
        (pair.command()?, "passbook_append_commands_size_sum 3"),
        (pair.projection()?, "passbook_projection_events_total 3"),
    ];
    for (service, counted) in counted {
        let document = service.json("/openapi.json").await?;
        let mut names = HashSet::new();
        ensure!(
            document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")),
            "{document}"
        );
        for (path, operations) in document["paths"].as_object().context("no paths")? {
            for (method, operation) in operations.as_object().context("no operations")? {
                let described =
                    operation["summary"].is_string() && operation["responses"].is_object();
                ensure!(described, "{method} {path} is not described: {operation}");
                let name = operation["operationId"].as_str().unwrap_or_default();
                let verb = name.split_once('_').map_or("", |(verb, _)| verb);
                ensure!(
                    VERBS.contains(&verb),
                    "{method} {path}: `{name}` does not begin with a verb"
                );
                ensure!(names.insert(name.to_owned()), "{method} {path}: `{name}` is not unique");
                let request = operation["requestBody"]["content"].as_object().into_iter();
                let answers =
                    operation["responses"].as_object().into_iter().flat_map(|all| all.values());
                let bodies =
                    request.chain(answers.filter_map(|answer| answer["content"].as_object()));
                for (media_type, body) in bodies.flatten() {
                    let has_example =
                        body["example"] != Value::Null || body["examples"].is_object();
                    ensure!(has_example, "{method} {path}: no example of {media_type}: {body}");
                }
            }
        }
        let docs = service.get("/docs/").await?.text().await?;
        ensure!(
            docs.contains("swagger") && !docs.contains("https://"),
            "the page loads from the network: {docs}"
        );
        let metrics = service.metrics().await?;
        ensure!(metrics.contains(counted), "{metrics}");
        for path in ["/health/live", "/health/ready"] {
            // Under the load of all tests, Postgres may not answer the health check at once.
            eventually("the service is healthy", async || {
                let response = service.get(path).await?;
                let status = response.status();
                ensure!(status == StatusCode::OK, "{path}: {status}: {}", response.text().await?);
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}
