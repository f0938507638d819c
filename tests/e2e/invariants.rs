//! Invariants that hold once every fault has healed. The fold shares no code with either service
//! beyond the shapes of events.

mod fold;
mod views;

use std::collections::HashMap;

use anyhow::{Context, ensure};
use passbook_shared::event::AccountEvent;
use passbook_shared::recorded_event::RecordedEvent;
use serde::Deserialize;
use uuid::Uuid;

pub(crate) use self::views::caught_up;
use self::views::views_equal;
use crate::client::Client;
use crate::infrastructure::PARTITIONS;
use crate::load::Acknowledged;

/// Events of the log, a list for each partition.
pub(crate) type Log = Vec<Vec<RecordedEvent>>;

/// Checks all invariants: the log is dense, has each acknowledged command once, and the views catch
/// up with its fold.
pub(crate) async fn assert_consistent(
    command: &Client,
    projection: &Client,
    acknowledged: &[Acknowledged],
) -> anyhow::Result<Log> {
    let log = read_log(command).await?;
    is_dense(&log)?;
    both_legs_are_there(&log)?;
    holds_once(&log, acknowledged)?;
    views_equal(&log, projection).await?;
    Ok(log)
}

/// Reads the whole log through the feed.
pub(crate) async fn read_log(command: &Client) -> anyhow::Result<Log> {
    #[derive(Deserialize)]
    struct Page {
        data: Vec<RecordedEvent>,
        has_more: bool,
    }
    let mut log = Vec::new();
    for partition in PARTITIONS.all() {
        let mut events: Vec<RecordedEvent> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.position.number);
            let path = format!("/v1/events?partition={partition}&after={after}&limit=1000");
            let page: Page = serde_json::from_str(&command.get(&path).await?.text().await?)?;
            events.extend(page.data);
            if !page.has_more {
                break;
            }
        }
        log.push(events);
    }
    Ok(log)
}

/// Checks that positions are dense in each partition, and versions in each account.
fn is_dense(log: &Log) -> anyhow::Result<()> {
    let mut versions: HashMap<Uuid, i64> = HashMap::new();
    for events in log {
        for (event, number) in events.iter().zip(1..) {
            ensure!(
                event.position.number == number,
                "{} is in the place of {number}",
                event.position
            );
            let version = versions.entry(event.account_id).or_default();
            *version += 1;
            ensure!(
                event.version == *version,
                "{} has version {}, not {version}",
                event.position,
                event.version
            );
        }
    }
    Ok(())
}

/// Checks that each leg of a transfer, or of its reversal, has its counterpart: of the same
/// command, at the same time.
fn both_legs_are_there(log: &Log) -> anyhow::Result<()> {
    struct Leg<'l> {
        event: &'l RecordedEvent,
        other: (Uuid, i64),
        transfer_id: Uuid,
        amount: i64,
    }
    let mut legs: HashMap<(Uuid, i64), Leg<'_>> = HashMap::new();
    for event in log.iter().flatten() {
        let (amount, transfer_id, counterparty, version) = match event.decode()? {
            AccountEvent::MoneySent(leg) => {
                (-leg.amount.get(), leg.transfer_id, leg.counterparty, leg.counterparty_version)
            }
            AccountEvent::MoneyReceived(leg) => {
                (leg.amount.get(), leg.transfer_id, leg.counterparty, leg.counterparty_version)
            }
            AccountEvent::EntryReversed(reversed) => match reversed.transfer {
                Some(leg) => (
                    reversed.movement(),
                    leg.transfer_id,
                    leg.counterparty,
                    leg.counterparty_version,
                ),
                None => continue,
            },
            _ => continue,
        };
        let leg = Leg { event, other: (counterparty, version), transfer_id, amount };
        legs.insert((event.account_id, event.version), leg);
    }
    for (own, leg) in &legs {
        let other =
            legs.get(&leg.other).with_context(|| format!("{:?} has no counterpart", leg.event))?;
        ensure!(
            (other.other, other.transfer_id, other.amount) == (*own, leg.transfer_id, -leg.amount)
                && other.event.metadata == leg.event.metadata
                && other.event.recorded_at == leg.event.recorded_at,
            "{:?} and {:?} are no pair of legs",
            leg.event,
            other.event
        );
    }
    Ok(())
}

/// Checks that each acknowledged command is in the log once, at the acknowledged position, and no
/// key is there twice.
fn holds_once(log: &Log, acknowledged: &[Acknowledged]) -> anyhow::Result<()> {
    let mut by_key: HashMap<(Uuid, &str), &RecordedEvent> = HashMap::new();
    for event in log.iter().flatten() {
        if let Some(key) = event.metadata.context.idempotency_key.as_deref() {
            let other = by_key.insert((event.account_id, key), event);
            ensure!(
                other.is_none(),
                "the key {key} is in the log twice, the second time at {}",
                event.position
            );
        }
    }
    for one in acknowledged {
        let event = by_key
            .get(&(one.account, one.key.as_str()))
            .with_context(|| format!("{one:?} is not in the log"))?;
        ensure!(
            event.account_id == one.account
                && event.version == one.version
                && event.position.to_string() == one.position,
            "{one:?} is in the log as {event:?}"
        );
    }
    Ok(())
}
