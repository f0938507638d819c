//! `restore accept`: shows what a restored log gives up, asks for confirmation, and accepts it.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::net::SocketAddr;

use anyhow::bail;
use clap::Args;
use passbook_shared::access::client_key::ClientOptions;
use passbook_shared::config::TlsConfig;
use passbook_shared::epoch::Epoch;
use passbook_shared::store_description::Restore;

use super::Service;
use crate::http::restore::{AcceptRequest, ForkPreview, ForkReference, RestorePreview};

/// Options of `restore accept`.
#[derive(Debug, Clone, Args)]
pub struct AcceptOptions {
    /// Skips the confirmation.
    #[arg(long)]
    pub yes: bool,
    /// Begins an epoch although no partition is forked: for views that have events which neither
    /// the log nor the topic has.
    #[arg(long)]
    pub force: bool,
    /// Lower bound of the new epoch, exclusive, if the views know one that the log and the topic do
    /// not.
    #[arg(long, value_name = "EPOCH", value_parser = clap::value_parser!(i32).range(0..1_000_000))]
    pub above_epoch: Option<Epoch>,
    /// Caller of the service.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Shows the survey of the service with these settings, and accepts the restore after a
/// confirmation.
///
/// # Errors
/// The service does not answer or refuses, or the operator declines.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub async fn accept_restore(
    addr: SocketAddr,
    tls: &TlsConfig,
    options: AcceptOptions,
) -> anyhow::Result<()> {
    let service = Service::at(addr, tls, &options.client)?;
    let shown: RestorePreview =
        service.send(service.client.get(service.url("/admin/restore?limit=20"))).await?;
    if shown.forks.is_empty() && !options.force {
        println!("no partition is forked: there is nothing to accept");
        return Ok(());
    }
    print(&shown);
    confirm(options.yes)?;
    let named = |fork: &ForkPreview| {
        let ForkPreview { partition, log_position, topic_position, .. } = *fork;
        ForkReference { partition, log_position, topic_position }
    };
    let AcceptOptions { force, above_epoch, .. } = options;
    let request =
        AcceptRequest { forks: shown.forks.iter().map(named).collect(), force, above_epoch };
    let accept = service.client.post(service.url("/admin/restore/accept")).json(&request);
    let Restore { epoch, .. } = service.send(accept).await?;
    println!("accepted: epoch {epoch} has begun");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(shown: &RestorePreview) {
    if shown.forks.is_empty() {
        println!(
            "No partition is forked. A new epoch begins with the log in its present state and \
             gives up the events that only the views have."
        );
        return;
    }
    println!(
        "The log lacks events that the topic has, as after a restore from a backup. Accepting the \
         log gives up these events:"
    );
    for fork in &shown.forks {
        let ForkPreview { partition, log_position, topic_position, kept, .. } = fork;
        let ForkPreview { reason, events, has_more, .. } = fork;
        println!(
            "\npartition {partition}: positions {} to {topic_position} of the topic ({reason})",
            kept + 1
        );
        println!("  the log ends at position {log_position}; both agree up to position {kept}");
        for event in events {
            let amount = event.amount.map(|amount| format!("  {amount}")).unwrap_or_default();
            let (at, account, what) = (event.recorded_at, event.account_id, &event.event_type);
            println!(
                "  {:<10} {at}  account {account}  {what}{amount}",
                event.position.to_string()
            );
        }
        if *has_more {
            println!("  … and more: GET /admin/restore?limit=1000 lists them");
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn confirm(yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        bail!(
            "there is no terminal for a confirmation: check what is given up and pass --yes. \
             Nothing was changed"
        );
    }
    print!("\nGive this up and continue with the log in its present state? [y/N] ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        bail!("not accepted; nothing was changed");
    }
    Ok(())
}
