//! Restores at random moments, of random backups, with random instances killed, while commands run.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use passbook_shared::partition::Partition;
use passbook_shared::store_description::StoreDescription;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::backups::Backups;
use super::facts::{Facts, PAUSE};
use super::is_behind;
use crate::client::Client;
use crate::environment::{Environment, Service};
use crate::infrastructure::PARTITIONS;
use crate::load::Load;
use crate::process::{eventually, eventually_every};
use crate::unreadable::in_partition;

/// Pseudo-random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap_or_default()
    }
}

/// Pause of a client between two commands. Every restore copies the log, and every look reads it: a
/// slower load keeps it short.
const LOAD_PAUSE: Duration = Duration::from_millis(40);

/// Runs the seeds one after the other in one environment, and returns how many restores were forks.
pub(super) async fn run(
    name: &'static str,
    instances: usize,
    seeds: Range<u64>,
) -> anyhow::Result<usize> {
    let environment = Environment::new(name).await?;
    let mut services = Vec::new();
    for number in 0..instances {
        // Snapshots that are written while the log is restored.
        let often = [("snapshot-every", "10".to_owned())];
        let mut service = environment.command_with(&format!("command-{number}"), &often)?;
        service.ready().await?;
        services.push(service);
    }
    let client = Client::new(&services.iter().map(|service| service.addr).collect::<Vec<_>>())?;
    let mut probes = Vec::new();
    for partition in PARTITIONS.all() {
        probes.push(open_in(&client, partition).await?);
    }
    let load = Load::start_with(&client, 3, 24, LOAD_PAUSE).await?;
    let (mut facts, mut backups) =
        (Facts::of(&environment).await?, Backups::of(&environment).await?);
    backups.take().await?;
    let mut forks = 0;
    for seed in seeds {
        let (started, mut random) = (Instant::now(), Random(seed));
        load.further(random.below(40)).await?;
        if random.below(3) > 0 {
            backups.take().await?;
        }
        load.further(random.below(30)).await?;
        // Mostly the newest backup; else any, also from before an accepted restore.
        let backup =
            if random.below(4) > 0 { backups.count - 1 } else { random.below(backups.count) };
        let killed = (random.below(3) == 0).then(|| random.below(instances));
        if let Some(killed) = killed {
            services[killed].kill().await?;
        }
        backups.restore(backup).await?;
        if let Some(killed) = killed {
            services[killed].start()?;
            services[killed].answers().await?;
        }
        let store =
            until_noticed(&mut facts, &client).await.with_context(|| format!("seed {seed}"))?;
        if !store.forks.is_empty() {
            forks += 1;
            only_forked_partitions_refuse_commands(&services, &probes, &store)
                .await
                .with_context(|| format!("seed {seed}"))?;
            accept(&client, &store).await.with_context(|| format!("seed {seed}"))?;
        }
        facts.until_followed(&client).await.with_context(|| format!("seed {seed}"))?;
        for service in &mut services {
            service.ready().await?;
        }
        eprintln!(
            "seed {seed}: {instances} instances, backup {backup} of {}, killed {killed:?}, epoch \
            {}, forked {:?}, {:?}",
            backups.count,
            store.epoch,
            store.forks.iter().map(|fork| fork.partition).collect::<Vec<_>>(),
            started.elapsed()
        );
    }
    load.stop().await?;
    facts.until_followed(&client).await?;
    Ok(forks)
}

/// Opens an account in a partition.
async fn open_in(client: &Client, partition: Partition) -> anyhow::Result<Uuid> {
    let account = in_partition(partition);
    let body = json!({"account_id": account, "owner": "ada", "currency": "EUR"});
    let key = account.to_string();
    eventually("an account is opened", async || {
        crate::client::created(client.post("/v1/accounts", Some(&key), &body).await?).await
    })
    .await?;
    Ok(account)
}

/// Waits until the store has noticed all forks, and returns its description.
async fn until_noticed(facts: &mut Facts, client: &Client) -> anyhow::Result<StoreDescription> {
    let facts = tokio::sync::Mutex::new(facts);
    eventually_every(PAUSE, "the store knows its forks", async || {
        let forked = facts.lock().await.forked(client).await?;
        let store = Facts::store(client).await?;
        let known = store.forks.iter().map(|fork| fork.partition).collect();
        if let Some(partition) = forked.symmetric_difference(&known).next() {
            let known = &store.forks;
            bail!(
                "partition {partition} of {known:?}: {}",
                facts.lock().await.describe(*partition, &store)
            );
        }
        Ok(store)
    })
    .await
}

/// Checks that every instance refuses commands on forked partitions, and accepts all others.
async fn only_forked_partitions_refuse_commands(
    services: &[Service],
    probes: &[Uuid],
    store: &StoreDescription,
) -> anyhow::Result<()> {
    for service in services {
        let client = service.client()?;
        let words = format!("partition {} (the log ends at", store.forks[0].partition);
        is_behind(&client, &[&words]).await?;
        for (partition, probe) in PARTITIONS.all().zip(probes) {
            let path = format!("/v1/accounts/{probe}/deposits");
            let is_forked = store.forks.iter().any(|fork| fork.partition == partition);
            let is_behind =
                eventually("a command is accepted, or refused for the fork", async || {
                    let response = client.post(&path, None, &json!({"amount": 1})).await?;
                    let (status, text) = (response.status(), response.text().await?);
                    let is_behind = text.contains("\"log_is_behind\"");
                    ensure!(
                        is_behind || status == StatusCode::CREATED,
                        "partition {partition}: {status}: {text}"
                    );
                    Ok(is_behind)
                });
            ensure!(is_behind.await? == is_forked, "partition {partition} is forked: {is_forked}");
        }
    }
    Ok(())
}

/// Accepts the restore as the survey shows it.
async fn accept(client: &Client, store: &StoreDescription) -> anyhow::Result<()> {
    let path = "/admin/restore?limit=1000";
    let shown = eventually("the survey is answered", async || client.json(path).await).await?;
    let forks = shown["forks"].as_array().context("no forks")?;
    let mut named = Vec::new();
    for (fork, known) in forks.iter().zip(&store.forks) {
        ensure!(
            fork["partition"] == known.partition.get()
                && fork["topic_position"] == known.topic_position,
            "{shown}"
        );
        named.push(json!({
            "partition": fork["partition"], "log_position": fork["log_position"],
                "topic_position": fork["topic_position"],
        }));
    }
    ensure!(named.len() == store.forks.len(), "{shown}");
    // The survey reads each partition, which takes a while when five stores are restored at once.
    let accept =
        client.request(Method::POST, "/admin/restore/accept").timeout(Duration::from_secs(60));
    let accepted = accept.json(&json!({ "forks": named })).send().await?;
    let (status, text) = (accepted.status(), accepted.text().await?);
    ensure!(status == StatusCode::OK, "{status}: {text}");
    let accepted: Value = serde_json::from_str(&text)?;
    ensure!(accepted["epoch"].as_i64() > Some(store.epoch.into()), "{accepted}");
    Ok(())
}
