//! Introduction and rotation of the topic's key.

use std::path::Path;

use anyhow::ensure;

use super::authenticated::KEY;
use super::{empty_views, metric};
use crate::environment::{Environment, Pair, Service};
use crate::load::Load;

async fn restart(service: &mut Service, keys: &Path) -> anyhow::Result<()> {
    service.stop().await?;
    service.set("topic-key-file", &keys.to_string_lossy());
    service.start()?;
    service.ready().await
}

/// The records from before the key are not authentic, so the relay publishes the log again.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_from_before_its_key_is_published_again() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("key_introduced").await?, 1).await?;
    let load = Load::start(&pair.command()?, 8, 20).await?;
    load.further(200).await?;
    let before = load.stop().await?;
    pair.assert_consistent(&before).await?;
    let keys = pair.environment.key_file("topic.key", &[KEY])?;
    for service in pair.commands.iter_mut().chain(&mut pair.projections) {
        restart(service, &keys).await?;
    }
    let load = Load::start(&pair.command()?, 8, 20).await?;
    load.further(100).await?;
    let all = [before, load.stop().await?].concat();
    pair.assert_consistent(&all).await?;
    let published = metric(&pair.command()?, "passbook_relay_published_total").await?;
    ensure!(published > 300, "the log was not published again: {published} records");

    // New views skip the records from before the key.
    pair.projections[0].stop().await?;
    empty_views(&pair.environment).await?;
    pair.projections[0].start()?;
    pair.assert_consistent(&all).await?;
    let views = pair.projection()?;
    let name = "passbook_topic_unusable_records_total{kind=\"unauthentic\"}";
    ensure!(metric(&views, name).await? >= 200, "records without a MAC were not skipped");
    ensure!(metric(&views, "passbook_projection_corrections_total").await? == 0, "corrected");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_under_load_without_skipping_a_record() -> anyhow::Result<()> {
    const NEW: &str = "another key of the topic, of tests too";
    let environment = Environment::new("key_rotated").await?.authenticated(&[KEY])?;
    let mut pair = Pair::start(environment, 1).await?;
    let load = Load::start(&pair.command()?, 8, 20).await?;
    load.further(50).await?;
    let both = pair.environment.key_file("both.key", &[NEW, KEY])?;
    let new = pair.environment.key_file("new.key", &[NEW])?;
    let (name, mut skipped) = ("passbook_topic_unusable_records_total{kind=\"unauthentic\"}", 0);
    for keys in [&both, &new] {
        skipped += metric(&pair.projection()?, name).await?;
        restart(&mut pair.projections[0], keys).await?;
        restart(&mut pair.commands[0], keys).await?;
        load.further(50).await?;
    }
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await?;
    skipped += metric(&pair.projection()?, name).await?;
    ensure!(skipped == 0, "{skipped} records were skipped");
    Ok(())
}
