//! Fold of the log, written from the contract alone.

use std::collections::BTreeMap;

use anyhow::Context;
use passbook_shared::event::{AccountEvent, TransferLeg};
use passbook_shared::recorded_event::RecordedEvent;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Log;

/// View and entries of an account, folded from its events.
pub(super) struct Folded {
    pub(super) view: Value,
    pub(super) entries: Vec<Value>,
}

/// Folds a log into its accounts.
pub(super) fn fold(log: &Log) -> anyhow::Result<BTreeMap<Uuid, Folded>> {
    let mut accounts: BTreeMap<Uuid, Folded> = BTreeMap::new();
    for event in log.iter().flatten() {
        let decoded = event.decode()?;
        if let AccountEvent::AccountOpened(opened) = &decoded {
            let view = json!({
                "account_id": event.account_id, "owner": opened.owner,
                    "currency": opened.currency, "status": "open",
                "balance": 0, "held": 0, "overdraft_limit": opened.overdraft_limit,
                    "transaction_count": 0,
                "opened_at": event.recorded_at,
            });
            accounts.insert(event.account_id, Folded { view, entries: Vec::new() });
        }
        let account = accounts
            .get_mut(&event.account_id)
            .with_context(|| format!("{event:?} precedes the opening"))?;
        account.apply(event, &decoded);
    }
    Ok(accounts)
}

impl Folded {
    fn apply(&mut self, event: &RecordedEvent, decoded: &AccountEvent) {
        let text = |text: &Option<passbook_shared::text::Reference>| json!(text);
        // The amount moved, the change of the amount held, and further fields of the entry.
        let (amount, held, further) = match decoded {
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
            AccountEvent::OwnerChanged(changed) => {
                self.view["owner"] = json!(changed.owner);
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
        // A statement lists movements of money only.
        if let Some(amount) = amount {
            let mut entry = json!({
                "version": event.version, "position": event.position, "type": event.event_type,
                    "amount": amount,
                "balance": balance, "recorded_at": event.recorded_at, "reversed_by": null,
            });
            if let (Some(entry), Value::Object(further)) = (entry.as_object_mut(), further) {
                entry.extend(further);
            }
            self.entries.push(entry);
        }
    }
}

/// Returns the fields of an entry that describe a leg of a transfer.
fn of_leg(leg: &TransferLeg) -> Value {
    json!({ "transfer_id": leg.transfer_id, "counterparty": leg.counterparty,
        "reference": leg.reference })
}
