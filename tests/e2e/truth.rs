//! What must hold after any fault has healed. The fold here is written anew, from the contract alone: it shares no code
//! with either service beyond the shapes of events.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, ensure};
use passbook_shared::event::{AccountEvent, TransferLeg};
use passbook_shared::recorded_event::RecordedEvent;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::ground::PARTITIONS;
use crate::load::Acknowledged;
use crate::process::eventually;

/// The log, a list for each partition.
pub(crate) type Log = Vec<Vec<RecordedEvent>>;

/// An account as its events say it is.
struct Folded {
    view: Value,
    entries: Vec<Value>,
}

/// Everything at once: the log is whole, holds what was acknowledged once, and the views get to be its fold.
pub(crate) async fn holds(
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

/// The whole log, through the feed.
pub(crate) async fn read_log(command: &Client) -> anyhow::Result<Log> {
    #[derive(Deserialize)]
    struct Page {
        data: Vec<RecordedEvent>,
        has_more: bool,
    }
    let mut log = Vec::new();
    for partition in 0..PARTITIONS {
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

/// Positions are dense in each partition, versions in each account.
fn is_dense(log: &Log) -> anyhow::Result<()> {
    let mut versions: HashMap<Uuid, i64> = HashMap::new();
    for events in log {
        for (event, number) in events.iter().zip(1..) {
            ensure!(
                event.position.number == number,
                "{} is where {number} should be",
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

/// Each leg of a transfer, and each of its reversal, has its other one: of the same command, at the same time.
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
            legs.get(&leg.other).with_context(|| format!("{:?} has no other leg", leg.event))?;
        ensure!(
            (other.other, other.transfer_id, other.amount) == (*own, leg.transfer_id, -leg.amount)
                && other.event.metadata == leg.event.metadata
                && other.event.recorded_at == leg.event.recorded_at,
            "{:?} has as its other leg {:?}",
            leg.event,
            other.event
        );
    }
    Ok(())
}

/// Each acknowledged command is in the log once, where its answer said; no key is there twice.
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

/// The views get to where the log is, and are then what the log's fold is: every account and every entry.
async fn views_equal(log: &Log, projection: &Client) -> anyhow::Result<()> {
    caught_up(log, projection).await?;
    let expected = fold(log)?;
    let mut seen = 0;
    for view in pages(projection, "/v1/accounts?limit=200").await? {
        let id: Uuid = view["account_id"].as_str().context("no account_id")?.parse()?;
        let account =
            expected.get(&id).with_context(|| format!("the view has {id}, the log has not"))?;
        same(&view, &account.view).with_context(|| format!("account {id}"))?;
        let entries = pages(projection, &format!("/v1/accounts/{id}/entries?limit=200")).await?;
        ensure!(
            entries.len() == account.entries.len(),
            "{id}: {} entries, not {}",
            entries.len(),
            account.entries.len()
        );
        for (entry, expected) in entries.iter().zip(account.entries.iter().rev()) {
            same(entry, expected).with_context(|| format!("an entry of {id}"))?;
        }
        seen += 1;
    }
    ensure!(seen == expected.len(), "the view has {seen} accounts, the log {}", expected.len());
    Ok(())
}

/// Waits until the views have applied the whole log.
pub(crate) async fn caught_up(log: &Log, projection: &Client) -> anyhow::Result<()> {
    let heads: Vec<i64> =
        log.iter().map(|events| i64::try_from(events.len())).collect::<Result<_, _>>()?;
    eventually("the views have got to where the log is", async || {
        let state = projection.json("/admin/projection").await?;
        let partitions = state["partitions"].as_array().context("no partitions")?;
        let mut at = vec![0; heads.len()];
        for partition in partitions {
            let number = partition["partition"].as_u64().context("no number")?;
            at[usize::try_from(number)?] = partition["position"].as_i64().context("no position")?;
        }
        ensure!(at == heads, "the views are at {at:?}, the log at {heads:?}: {state}");
        Ok(())
    })
    .await
}

/// All pages of a list.
async fn pages(client: &Client, path: &str) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = client.json(&format!("{path}{cursor}")).await?;
        let data = page["data"].take();
        all.extend(data.as_array().context("no data")?.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

/// Whether `actual` has all that `expected` has; it may have more.
fn same(actual: &Value, expected: &Value) -> anyhow::Result<()> {
    for (name, value) in expected.as_object().context("not an object")? {
        ensure!(&actual[name] == value, "{name} is {}, not {value}: {actual}", actual[name]);
    }
    Ok(())
}

/// The accounts of a log, event by event.
fn fold(log: &Log) -> anyhow::Result<BTreeMap<Uuid, Folded>> {
    let mut accounts: BTreeMap<Uuid, Folded> = BTreeMap::new();
    for event in log.iter().flatten() {
        let decoded = event.decode()?;
        if let AccountEvent::AccountOpened(opened) = &decoded {
            let view = json!({
                "account_id": event.account_id, "owner": opened.owner, "currency": opened.currency, "status": "open",
                "balance": 0, "held": 0, "overdraft_limit": opened.overdraft_limit, "transaction_count": 0,
                "opened_at": event.recorded_at,
            });
            accounts.insert(event.account_id, Folded { view, entries: Vec::new() });
        }
        let account = accounts
            .get_mut(&event.account_id)
            .with_context(|| format!("{event:?} before the opening"))?;
        account.apply(event, &decoded);
    }
    Ok(accounts)
}

impl Folded {
    fn apply(&mut self, event: &RecordedEvent, decoded: &AccountEvent) {
        let text = |text: &Option<passbook_shared::text::Reference>| json!(text);
        // What it moves, what it sets aside, and what more its entry says.
        let (amount, held, says) = match decoded {
            AccountEvent::AccountOpened(opened) => {
                (Some(opened.initial_deposit), 0, json!({ "reference": null }))
            }
            AccountEvent::MoneyDeposited(moved) => {
                (Some(moved.amount.get()), 0, json!({ "reference": text(&moved.reference) }))
            }
            AccountEvent::MoneyWithdrawn(moved) => {
                (Some(-moved.amount.get()), 0, json!({ "reference": text(&moved.reference) }))
            }
            AccountEvent::MoneySent(leg) => (Some(-leg.amount.get()), 0, of_leg(leg)),
            AccountEvent::MoneyReceived(leg) => (Some(leg.amount.get()), 0, of_leg(leg)),
            AccountEvent::HoldPlaced(placed) => (None, placed.amount.get(), json!({})),
            AccountEvent::HoldCaptured(captured) => (
                Some(-captured.amount.get()),
                -captured.amount.get() - captured.released,
                json!({ "hold_id": captured.hold_id, "reference": text(&captured.reference) }),
            ),
            AccountEvent::HoldReleased(released) => (None, -released.amount.get(), json!({})),
            AccountEvent::HoldExpired(expired) => (None, -expired.amount.get(), json!({})),
            AccountEvent::EntryReversed(reversed) => {
                (Some(reversed.movement()), 0, json!({ "reverses": reversed.version }))
            }
            AccountEvent::OverdraftLimitSet(set) => {
                self.view["overdraft_limit"] = set.limit.into();
                (None, 0, json!({}))
            }
            AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_) => (None, 0, json!({})),
        };
        let status = match decoded {
            AccountEvent::AccountFrozen(_) => Some("frozen"),
            AccountEvent::AccountUnfrozen(_) => Some("open"),
            AccountEvent::AccountClosed(_) => Some("closed"),
            _ => None,
        };
        let view = &mut self.view;
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let balance = number(&view["balance"]) + amount.unwrap_or_default();
        let held = number(&view["held"]) + held;
        view["balance"] = balance.into();
        view["held"] = held.into();
        view["available"] = (balance - held).into();
        if let Some(status) = status {
            view["status"] = status.into();
        }
        view["transaction_count"] =
            (number(&view["transaction_count"]) + i64::from(amount.is_some())).into();
        view["last_activity"] = json!(event.recorded_at);
        view["version"] = event.version.into();
        view["position"] = json!(event.position);
        if let AccountEvent::EntryReversed(reversed) = decoded
            && let Some(entry) =
                self.entries.iter_mut().find(|entry| entry["version"] == reversed.version)
        {
            entry["reversed_by"] = event.version.into();
        }
        // A statement is of money; what else happened is not in it.
        if let Some(amount) = amount {
            let mut entry = json!({
                "version": event.version, "position": event.position, "type": event.event_type, "amount": amount,
                "balance": balance, "recorded_at": event.recorded_at, "reversed_by": null,
            });
            if let (Some(entry), Value::Object(says)) = (entry.as_object_mut(), says) {
                entry.extend(says);
            }
            self.entries.push(entry);
        }
    }
}

/// What an entry says of a leg of a transfer.
fn of_leg(leg: &TransferLeg) -> Value {
    json!({ "transfer_id": leg.transfer_id, "counterparty": leg.counterparty, "reference": leg.reference })
}
