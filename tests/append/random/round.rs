//! Requests of a round: wishes made concrete by what the reference knows.

use command_service::domain::Command;

use super::choice::{chosen, expiry, id, version, words};
use super::reference::Reference;
use super::steps::Way;
use crate::requests::{money, opening, request as new_request, with_key};
use command_service::domain::command::{Capture, Expire, Release, Reversal, Transfer};
use command_service::request::CommandRequest;
use passbook_shared::event::{
    AccountEvent, AccountFrozen, HoldPlaced, OverdraftLimitSet, OwnerChanged, Reason,
};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Owner};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

pub(super) const ACCOUNTS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Deposit,
    Withdraw,
    Transfer,
    Hold,
    Capture,
    Release,
    Expire,
    Reverse,
    SetOverdraftLimit,
    ChangeOwner,
    Freeze,
    Unfreeze,
    Close,
    /// Repeat of an earlier request, under the same key, another or none.
    Repeat,
}

/// Random parameters of a command. The ids and versions that they choose depend on the state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) kind: Kind,
    pub(super) who: usize,
    pub(super) whom: usize,
    pub(super) amount: i64,
    /// Number that chooses an id, a version, or a variant.
    pub(super) choice: u64,
    pub(super) key: Option<u64>,
    /// Difference between the expected and the actual version.
    pub(super) expected: Option<i64>,
}

/// Accounts and requests of a round so far.
pub(super) struct Round {
    number: u64,
    accounts: Vec<Uuid>,
    requests: Vec<CommandRequest>,
}

impl Round {
    pub(super) fn new(number: u64) -> Self {
        let accounts = (0..ACCOUNTS).map(|n| id(number, "account", n as u64)).collect();
        Self { number, accounts, requests: Vec::new() }
    }

    /// Returns requests without two of the same key or transfer id, which a set may not have.
    pub(super) fn requests(
        &mut self,
        way: Way,
        wishes: &[Wish],
        reference: &Reference,
    ) -> Vec<CommandRequest> {
        let mut requests: Vec<CommandRequest> = Vec::new();
        for wish in wishes {
            let mut request = self.request(wish, reference);
            request.dry_run = way.is_dry_run();
            if !requests.iter().any(|other| share_a_name(other, &request)) {
                requests.push(request);
            }
        }
        self.requests.extend(requests.iter().cloned());
        requests
    }

    fn request(&self, wish: &Wish, reference: &Reference) -> CommandRequest {
        let Wish { kind, who, choice, key, expected, .. } = *wish;
        let mut request = match (kind, self.requests.get(chosen(choice, self.requests.len()))) {
            (Kind::Repeat, Some(before)) => {
                let mut repeat = CommandRequest { command_id: Uuid::new_v4(), ..before.clone() };
                if choice.is_multiple_of(3) {
                    repeat.context.idempotency_key = None;
                }
                repeat
            }
            _ => new_request(self.accounts[who], self.command(wish, reference)),
        };
        if let Some(key) = key {
            request = with_key(request, &format!("k{key}"));
        }
        if let Some(off) = expected {
            request.expected_versions = Some(vec![reference.version(request.account_id) + off]);
        }
        request
    }

    fn command(&self, wish: &Wish, reference: &Reference) -> Command {
        let Wish { kind, who, choice, .. } = *wish;
        let amount = Amount::new(wish.amount).unwrap();
        let own = self.accounts[who];
        let going_out = || {
            let available = reference.account(own).summary().map_or(0, |summary| summary.available);
            Amount::new(available).filter(|_| choice.is_multiple_of(5)).unwrap_or(amount)
        };
        let (reference_text, metadata) = (words(choice), Metadata::default());
        match kind {
            Kind::Open | Kind::Repeat => {
                let Command::Open(mut opened) = opening() else { unreachable!() };
                opened.initial_deposit = if choice.is_multiple_of(3) { 0 } else { wish.amount };
                opened.overdraft_limit = if choice.is_multiple_of(4) { 10 } else { 0 };
                if who == ACCOUNTS - 1 {
                    opened.currency = "JPY".parse().unwrap();
                }
                Command::Open(opened)
            }
            Kind::Deposit => Command::Deposit(money(wish.amount)),
            Kind::Withdraw => Command::Withdraw(money(going_out().get())),
            Kind::Transfer => {
                let to = if choice.is_multiple_of(8) {
                    wish.whom
                } else {
                    (who + 1 + wish.whom % 3) % (ACCOUNTS - 1)
                };
                let pool = if choice.is_multiple_of(2) { 6 } else { 1 << 20 };
                Command::Transfer(Transfer {
                    transfer_id: id(self.number, "transfer", choice / 2 % pool),
                    to: self.accounts[to],
                    amount: going_out(),
                    reference: reference_text,
                    effective_at: Timestamp::from_micros(1_700_000_000_000_000)
                        .filter(|_| choice.is_multiple_of(7)),
                    metadata,
                    allow_backdated_overdraft: choice.is_multiple_of(2),
                })
            }
            Kind::Hold => Command::Hold(HoldPlaced {
                hold_id: self.hold_id(choice),
                amount: going_out(),
                expires_at: expiry(choice),
                reference: reference_text,
                metadata,
            }),
            Kind::Capture => Command::Capture(Capture {
                hold_id: self.any_hold(own, choice, reference),
                amount: Some(amount).filter(|_| choice.is_multiple_of(2)),
                reference: reference_text,
                metadata,
            }),
            Kind::Release => {
                let hold_id = self.any_hold(own, choice, reference);
                Command::Release(Release { hold_id, reason: reference_text })
            }
            Kind::Expire => {
                Command::Expire(Expire { hold_id: self.any_hold(own, choice, reference) })
            }
            Kind::Reverse => {
                let version = version(own, choice, reference);
                Command::Reverse(Reversal {
                    version,
                    effective_at: Timestamp::from_micros(1_700_000_000_000_000)
                        .filter(|_| choice.is_multiple_of(5)),
                    reference: reference_text,
                    metadata,
                    allow_backdated_overdraft: choice.is_multiple_of(3),
                })
            }
            Kind::SetOverdraftLimit => Command::SetOverdraftLimit(OverdraftLimitSet {
                limit: if choice.is_multiple_of(3) { 0 } else { wish.amount },
            }),
            Kind::ChangeOwner => Command::ChangeOwner(OwnerChanged {
                owner: Owner::new(["somebody", "else"][usize::from(choice.is_multiple_of(2))])
                    .unwrap(),
                reason: reference_text,
            }),
            Kind::Freeze => Command::Freeze(AccountFrozen {
                reason: None,
                block_credits: choice.is_multiple_of(2),
            }),
            Kind::Unfreeze => Command::Unfreeze(Reason::default()),
            Kind::Close => Command::Close(Reason::default()),
        }
    }

    fn hold_id(&self, choice: u64) -> Uuid {
        let pool = if choice.is_multiple_of(2) { 4 } else { 1 << 20 };
        id(self.number, "hold", choice / 2 % pool)
    }

    /// Returns mostly the id of a hold that the account has or had.
    fn any_hold(&self, account: Uuid, choice: u64, reference: &Reference) -> Uuid {
        let placed = |event: &AccountEvent| match event {
            AccountEvent::HoldPlaced(placed) => Some(placed.hold_id),
            _ => None,
        };
        let placed: Vec<Uuid> =
            reference.of(account).iter().filter_map(|happened| placed(&happened.event)).collect();
        let known = placed.get(chosen(choice, placed.len())).filter(|_| !choice.is_multiple_of(7));
        known.copied().unwrap_or_else(|| self.hold_id(choice))
    }
}

fn share_a_name(one: &CommandRequest, other: &CommandRequest) -> bool {
    let key = |request: &CommandRequest| {
        Some((request.account_id, request.context.idempotency_key.clone()?))
    };
    let transfer = |request: &CommandRequest| match &request.command {
        Command::Transfer(transfer) => Some(transfer.transfer_id),
        _ => None,
    };
    (key(one).is_some() && key(one) == key(other))
        || (transfer(one).is_some() && transfer(one) == transfer(other))
}
