use anyhow::ensure;
use serde_json::Value;

use super::{authority, files};
use crate::client::Client;
use crate::environment::{Environment, Pair, Service};
use crate::process::{Process, eventually, ops_of};

/// Runs a subcommand of a service, and returns its output.
async fn subcommand(
    environment: &Environment,
    service: &Service,
    arguments: &[&str],
) -> anyhow::Result<String> {
    let part = service.part.trim_end_matches("-service");
    let (tls, addr) = (service.tls(), service.addr);
    let url = match part {
        "command" => format!("--database-url={}", environment.command_role_url),
        _ => format!("--projection-database-url={}", environment.projection_role_url),
    };
    let file = |option: &str, path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| format!("--{option}={}", path.display()))
    };
    let ops_addr = ops_of(addr);
    let mut all = vec![
        format!("{part}-service"),
        format!("--{part}-addr={addr}"),
        format!("--{part}-ops-addr={ops_addr}"),
        url,
    ];
    all.extend(file("tls-cert-file", &tls.tls_cert_file));
    all.extend(file("tls-key-file", &tls.tls_key_file));
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let log = tempfile::NamedTempFile::new()?;
    let mut process = Process::start(&all, log.path())?;
    let status = process.ended().await?;
    ensure!(status.success(), "{arguments:?}: {status}: {}", process.output());
    Ok(process.output())
}

#[tokio::test(flavor = "multi_thread")]
async fn services_clients_and_subcommands_use_https() -> anyhow::Result<()> {
    let files = files("https")?;
    let (ours, ca) = authority("ours", &files)?;
    let mut environment = Environment::new("https").await?;
    let identity = ours.issue(&["localhost", "127.0.0.1"])?.write(&files)?;
    environment.encryption = Some((identity, ca));
    let mut pair = Pair::start(environment, 1).await?;
    let (command, projection) = (pair.command()?, pair.projection()?);
    let account = command.open().await?;
    for _ in 0..20 {
        command.deposit(account, None, 25).await?;
    }
    let view = projection.json(&format!("/v1/accounts/{account}?min_version=21")).await?;
    ensure!(view["balance"] == 1_000_500, "{view}");

    let plain = Client::new(&[pair.commands[0].addr])?;
    ensure!(plain.get("/health/live").await.is_err(), "an unencrypted request was answered");
    for service in pair.commands.iter_mut().chain(&mut pair.projections) {
        service.ready().await?;
    }
    for service in [&pair.commands[0], &pair.projections[0]] {
        subcommand(&pair.environment, service, &["healthcheck"]).await?;
    }
    for arguments in [&["verify"][..], &["replay", "--from-beginning"]] {
        subcommand(&pair.environment, &pair.projections[0], arguments).await?;
    }
    // A new certificate does not disturb a client that sends one request after another.
    let before = command.metrics().await?;
    ours.issue_for(&["localhost", "127.0.0.1"], 300)?.write(&files)?;
    eventually("the new certificate is in force", async || {
        command.deposit(account, None, 1).await?;
        let metrics = command.metrics().await?;
        ensure!(remaining(&metrics) > 2.0 * remaining(&before), "{metrics}");
        Ok(())
    })
    .await?;
    pair.assert_consistent(&[]).await.map(drop)
}

/// Returns the time until the certificate expires.
fn remaining(metrics: &str) -> f64 {
    let name = "passbook_tls_certificate_remaining_seconds ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_service_that_trusts_another_authority_says_so() -> anyhow::Result<()> {
    let files = files("https_other")?;
    let (ours, ca) = authority("ours", &files)?;
    let (_, other) = authority("other", &files)?;
    let mut environment = Environment::new("https_other").await?;
    let identity = ours.issue(&["localhost", "127.0.0.1"])?.write(&files)?;
    environment.encryption = Some((identity, ca.clone()));
    let command = environment.command("command-0").await?;
    let mut projection = environment.projection_started("projection-0", &command)?;
    projection.kill().await?;
    projection.set("command-service-ca-file", &other.display().to_string());
    projection.start()?;
    let client = projection.client()?;
    eventually("readiness names the certificate", async || {
        let health: Value = client.get("/health/ready").await?.json().await?;
        ensure!(health["ready"] == false && health.to_string().contains("certificate"), "{health}");
        Ok(())
    })
    .await?;
    projection.kill().await?;
    projection.set("command-service-ca-file", &ca.display().to_string());
    projection.start()?;
    projection.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_of_its_own_ends_the_start() -> anyhow::Result<()> {
    let files = files("https_wrong")?;
    let (ours, ca) = authority("ours", &files)?;
    let environment = Environment::new("https_wrong").await?;
    let mut command = environment.command("command-0").await?;
    command.kill().await?;
    let expired = ours.issue_for(&["localhost"], -1)?.write(&files)?;
    command.set("tls-cert-file", &expired.certificate.display().to_string());
    super::refuses(&mut command, &["TLS_CERT_FILE is set, but TLS_KEY_FILE is not"]).await?;
    command.set("tls-key-file", &expired.key.display().to_string());
    super::refuses(&mut command, &["TLS_CERT_FILE", "tls.crt", "expired at"]).await?;
    command.set("tls-key-file", &ca.display().to_string());
    ours.issue(&["localhost"])?.write(&files)?;
    super::refuses(&mut command, &["TLS_KEY_FILE", "has no private key"]).await
}
