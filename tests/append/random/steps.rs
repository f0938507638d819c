//! Random steps, small numbers that become requests once it is known what they meet: an id that is there, a version that is
//! close, all that is available.

use command_service::domain::Command;
use command_service::domain::command::{Capture, Expire, Release, Reversal, Transfer};
use command_service::request::CommandRequest;
use passbook_shared::event::{AccountEvent, AccountFrozen, HoldPlaced, OverdraftLimitSet, Reason};
use passbook_shared::money::{Amount, MAX_AMOUNT};
use passbook_shared::text::{Metadata, Reference as Words};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::reference::Reference;
use crate::ground::{money, opening, request, with_key};

/// Random numbers that are the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0, and less than `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.roll(all.len() as u64)).unwrap()]
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// What is asked at once, and of which of the instances.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) instance: usize,
    pub(super) way: Way,
    pub(super) requests: Vec<CommandRequest>,
}

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Alone,
    AllOrNone,
    DryRun,
    DryRuns,
    DryRunsAllOrNone,
}

impl Way {
    pub(super) fn all_or_none(self) -> bool {
        matches!(self, Self::AllOrNone | Self::DryRunsAllOrNone)
    }

    fn is_dry_run(self) -> bool {
        matches!(self, Self::DryRun | Self::DryRuns | Self::DryRunsAllOrNone)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
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
    Freeze,
    Unfreeze,
    Close,
    /// What was asked before, under the same key or another or none.
    Again,
}

/// One command, but for what it meets.
#[derive(Debug, Clone, Copy)]
struct Wish {
    kind: Kind,
    who: usize,
    whom: usize,
    amount: i64,
    /// Chooses an id, a version, a variant.
    choice: u64,
    key: Option<u64>,
    /// How far it is from the account's version.
    expected: Option<i64>,
}

const ACCOUNTS: usize = 5;
const LENGTH: usize = 40;

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind::Open, Kind::Deposit, Kind::Deposit, Kind::Deposit, Kind::Withdraw, Kind::Withdraw, Kind::Withdraw, Kind::Transfer,
    Kind::Transfer, Kind::Transfer, Kind::Transfer, Kind::Hold, Kind::Hold, Kind::Hold, Kind::Capture, Kind::Capture,
    Kind::Release, Kind::Expire, Kind::Reverse, Kind::Reverse, Kind::Reverse, Kind::SetOverdraftLimit, Kind::Freeze,
    Kind::Unfreeze, Kind::Unfreeze, Kind::Close, Kind::Again, Kind::Again, Kind::Again, Kind::Again,
];
const WAYS: &[Way] = &[
    Way::Alone,
    Way::Alone,
    Way::Alone,
    Way::Alone,
    Way::AllOrNone,
    Way::AllOrNone,
    Way::AllOrNone,
    Way::DryRun,
    Way::DryRuns,
    Way::DryRunsAllOrNone,
];
/// What builds up needs several commands on one account.
const WHO: &[usize] = &[0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4];

/// A round: most of the accounts are there from the start.
pub(super) fn steps(seed: u64) -> Vec<Step> {
    let (dice, mut round, mut reference) =
        (&mut Dice::new(seed), Round::new(seed), Reference::default());
    let mut steps = Vec::new();
    let mut ask = |instance, way: Way, wishes: Vec<Wish>| {
        let requests = round.requests(way, &wishes, &reference);
        reference.answer(&requests, way.all_or_none());
        steps.push(Step { instance, way, requests });
    };
    for who in 0..ACCOUNTS {
        if !dice.one_in(8) {
            ask(
                0,
                Way::Alone,
                vec![Wish { kind: Kind::Open, who, key: None, expected: None, ..wish(dice) }],
            );
        }
    }
    for _ in 0..LENGTH {
        let way = dice.of(WAYS);
        let many = if matches!(way, Way::Alone | Way::DryRun) { 1 } else { 2 + dice.roll(5) };
        ask(dice.of(&[0, 1]), way, (0..many).map(|_| wish(dice)).collect());
    }
    steps
}

fn wish(dice: &mut Dice) -> Wish {
    Wish {
        kind: dice.of(KINDS),
        who: dice.of(WHO),
        whom: dice.of(WHO),
        amount: if dice.one_in(60) { MAX_AMOUNT } else { dice.of(&[1, 2, 3, 4, 5, 5, 10, 20]) },
        choice: dice.roll(1 << 20),
        key: if dice.one_in(3) { Some(dice.roll(8)) } else { None },
        expected: if dice.one_in(8) { Some(dice.of(&[-1, 0, 0, 0, 1])) } else { None },
    }
}

/// What the ids of a round are made of, and what was asked in it.
struct Round {
    seed: u64,
    accounts: Vec<Uuid>,
    asked: Vec<CommandRequest>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let accounts = (0..ACCOUNTS).map(|n| id(seed, "account", n as u64)).collect();
        Self { seed, accounts, asked: Vec::new() }
    }

    /// No key of an account and no transfer is twice among them.
    fn requests(
        &mut self,
        way: Way,
        wishes: &[Wish],
        reference: &Reference,
    ) -> Vec<CommandRequest> {
        let mut requests: Vec<CommandRequest> = Vec::new();
        for wish in wishes {
            let mut request = self.request(wish, reference);
            request.dry_run = way.is_dry_run();
            if !requests.iter().any(|other| is_named_alike(other, &request)) {
                requests.push(request);
            }
        }
        self.asked.extend(requests.iter().cloned());
        requests
    }

    fn request(&self, wish: &Wish, reference: &Reference) -> CommandRequest {
        let Wish { kind, who, choice, key, expected, .. } = *wish;
        let mut asked = match (kind, self.asked.get(chosen(choice, self.asked.len()))) {
            (Kind::Again, Some(before)) => {
                let mut again = CommandRequest { command_id: Uuid::new_v4(), ..before.clone() };
                if choice.is_multiple_of(3) {
                    again.context.idempotency_key = None;
                }
                again
            }
            _ => request(self.accounts[who], self.command(wish, reference)),
        };
        if let Some(key) = key {
            asked = with_key(asked, &format!("k{key}"));
        }
        if let Some(off) = expected {
            asked.expected_versions = Some(vec![reference.version(asked.account_id) + off]);
        }
        asked
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
            Kind::Open | Kind::Again => {
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
                    transfer_id: id(self.seed, "transfer", choice / 2 % pool),
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
        id(self.seed, "hold", choice / 2 % pool)
    }

    /// Mostly one that the account has, or had.
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

/// Mostly that of an entry that can be undone; now and then of one that will only be there.
fn version(account: Uuid, choice: u64, reference: &Reference) -> i64 {
    let moved = |event: &AccountEvent| {
        matches!(
            event,
            AccountEvent::MoneyDeposited(_)
                | AccountEvent::MoneyWithdrawn(_)
                | AccountEvent::MoneySent(_)
                | AccountEvent::MoneyReceived(_)
        )
    };
    let moved: Vec<i64> = reference
        .of(account)
        .iter()
        .filter(|h| moved(&h.event))
        .map(|happened| happened.version)
        .collect();
    let any = i64::try_from(choice % 8).unwrap() - 4 + reference.version(account);
    moved
        .get(chosen(choice, moved.len()))
        .copied()
        .filter(|_| !choice.is_multiple_of(5))
        .unwrap_or(any.max(1))
}

/// Far away, or over, or none.
fn expiry(choice: u64) -> Option<Timestamp> {
    let hours = [None, None, Some(24), Some(-24)][usize::try_from(choice / 8 % 4).unwrap()]?;
    // The same each time it is asked for.
    let start = if hours > 0 { 4_000_000_000_000_000 } else { 1_700_000_000_000_000 };
    Timestamp::from_micros(start + hours * 3_600_000_000)
}

fn words(choice: u64) -> Option<Words> {
    (choice.is_multiple_of(6)).then(|| Words::new("for this and that").unwrap())
}

fn chosen(choice: u64, of: usize) -> usize {
    usize::try_from(choice / 3).unwrap().checked_rem(of).unwrap_or_default()
}

fn id(round: u64, what: &str, n: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{round} {what} {n}").as_bytes())
}

fn is_named_alike(one: &CommandRequest, other: &CommandRequest) -> bool {
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

/// The same step in a log that has it already: of other accounts and transfers.
pub(super) fn renamed(step: &Step, salt: u64) -> Step {
    let other = |id: Uuid| Uuid::new_v5(&id, &salt.to_be_bytes());
    let mut step = step.clone();
    for request in &mut step.requests {
        (request.account_id, request.command_id) = (other(request.account_id), Uuid::new_v4());
        if let Command::Transfer(transfer) = &mut request.command {
            (transfer.to, transfer.transfer_id) = (other(transfer.to), other(transfer.transfer_id));
        }
    }
    step
}
