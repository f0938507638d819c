//! `verify` subcommand: compares the views with the log and prints the differences.

use std::net::SocketAddr;

use anyhow::bail;
use passbook_shared::access::client_key::ClientOptions;
use passbook_shared::config::TlsConfig;
use passbook_shared::difference::Difference;
use serde::Deserialize;
use uuid::Uuid;

use super::{ASK_EVERY, Service, bar};

#[derive(Debug, Deserialize)]
struct Verification {
    id: Uuid,
    state: String,
    events: u64,
    events_total: Option<u64>,
    accounts: u64,
    quarantined: u64,
    differences: u64,
    samples: Vec<Difference>,
    error: Option<String>,
}

/// Starts a comparison in the service with these settings, and waits for its result.
///
/// # Errors
/// The service does not answer or refuses, the comparison ends early, or there are differences.
#[expect(clippy::print_stdout, reason = "prints its result")]
pub async fn verify(
    addr: SocketAddr,
    tls: &TlsConfig,
    client: &ClientOptions,
) -> anyhow::Result<()> {
    let service = Service::at(addr, tls, client)?;
    let mut job: Verification =
        service.send(service.client.post(service.url("/admin/verify"))).await?;
    let path = format!("/admin/verify/{}", job.id);
    println!("verification {}; status: {}", job.id, service.url(&path));
    let bar = bar()?;
    while job.state == "running" {
        if let Some(total) = job.events_total {
            // The log may have grown since the total was counted.
            bar.set_length(total.max(job.events));
        }
        bar.set_position(job.events);
        bar.set_message(format!("{} differences", job.differences));
        tokio::time::sleep(ASK_EVERY).await;
        job = service.send(service.client.get(service.url(&path))).await?;
    }
    bar.finish_and_clear();
    tell(&job)
}

#[expect(clippy::print_stdout, reason = "prints its result")]
fn tell(job: &Verification) -> anyhow::Result<()> {
    let Verification { state, events, accounts, quarantined, differences, samples, .. } = job;
    println!("{state}: {events} events, {accounts} accounts, {differences} differences");
    if *quarantined > 0 {
        println!("{quarantined} records and events are in quarantine, which is not a difference");
    }
    for sample in samples {
        println!("  {}", serde_json::to_string(sample)?);
    }
    if let Some(error) = &job.error {
        bail!("the comparison ended early: {error}");
    }
    match differences {
        0 => Ok(()),
        1 => {
            bail!("the views differ from the log, or the log breaks its rules: 1 difference")
        }
        more => {
            bail!("the views differ from the log, or the log breaks its rules: {more} differences")
        }
    }
}
