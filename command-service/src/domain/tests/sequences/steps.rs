//! Random steps: small numbers that become commands in the context of the log, so that ids,
//! versions and amounts often match.

use passbook_shared::event::{AccountEvent, AccountOpened};
use passbook_shared::money::MAX_AMOUNT;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::domain::Command;
use crate::domain::tests::log::Log;
use crate::domain::tests::specification::*;

/// Accounts of the sequences. The last one has another currency.
pub(super) const ACCOUNTS: [Uuid; 4] =
    [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4)];

/// Weights of the accounts: state that accumulates needs several commands on one account.
const WHO: &[usize] = &[0, 0, 0, 0, 0, 1, 1, 2, 3];

/// Kind of the command.
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
}

/// Command without its context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    kind: Kind,
    who: usize,
    whom: usize,
    amount: i64,
    /// Selects an id, a version, a variant.
    choice: i64,
    /// Seconds by which the clock advances before the command.
    pub(super) later: i64,
}

/// Steps of a sequence; the first ones open accounts, or some of them.
pub(super) fn steps(kinds: &'static [Kind], largest: i64) -> impl Strategy<Value = Vec<Step>> {
    let openings = proptest::array::uniform4((amount_or_zero(largest), 0..12_i64));
    let step = (select(kinds), select(WHO), 0..4_usize, amount(largest), 0..60_i64, 0..3_i64)
        .prop_map(|(kind, who, whom, amount, choice, later)| Step {
            kind,
            who,
            whom,
            amount,
            choice,
            later,
        });
    (openings, prop::collection::vec(step, 1..40)).prop_map(|(openings, rest)| {
        let open = |(who, (amount, choice))| Step {
            kind: Kind::Open,
            who,
            whom: who,
            amount,
            choice,
            later: 0,
        };
        // One account in twelve is not opened at the start.
        let openings = (0..).zip(openings).map(open).filter(|step| step.choice > 0);
        openings.chain(rest).collect()
    })
}

/// Amounts that often coincide, and amounts at the end of the range.
fn amount(largest: i64) -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1..=5_i64, 2 => Just(100), 1 => 1..=largest, 1 => largest - 3..=largest]
}

fn amount_or_zero(largest: i64) -> impl Strategy<Value = i64> {
    prop_oneof![1 => Just(0), 3 => amount(largest)]
}

impl Step {
    /// Returns the account and the command.
    pub(super) fn command(self, log: &Log, now: i64) -> (Uuid, Command) {
        let Self { kind, who, amount, choice, .. } = self;
        let account_id = ACCOUNTS[who];
        let command = match kind {
            Kind::Open => self.as_of(now, Command::Open(self.opening())),
            Kind::Deposit => self.as_of(now, deposit(amount)),
            Kind::Withdraw => self.as_of(now, withdraw(self.going_out(log))),
            Kind::Transfer => {
                self.as_of(now, transfer(id(choice), self.receiver(), self.going_out(log)))
            }
            Kind::Hold => {
                let expires_at = (choice % 4 > 0).then(|| at(now + choice % 7));
                let hold_id = if choice % 10 == 0 { self.hold_id(log) } else { id(choice) };
                Command::Hold(hold_of(hold_id, self.going_out(log), expires_at))
            }
            Kind::Capture => capture(self.hold_id(log), (choice % 2 > 0).then_some(amount)),
            Kind::Release => release(self.hold_id(log)),
            Kind::Expire => expire(self.hold_id(log)),
            Kind::Reverse => self.as_of(now, reverse(self.version(log))),
            Kind::SetOverdraftLimit => set_limit(if choice % 3 == 0 { 0 } else { amount }),
            Kind::ChangeOwner => change_owner(&format!("customer-{}", 4_710 + choice % 3)),
            Kind::Freeze => Command::Freeze(freeze(choice % 2 == 0)),
            Kind::Unfreeze => unfreeze(),
            Kind::Close => close(),
        };
        (account_id, command)
    }

    /// Backdates some commands, and waives the check of some of these.
    fn as_of(self, now: i64, command: Command) -> Command {
        match self.choice % 6 {
            0 => as_of((now - self.choice % 5).max(0), command),
            1 if !matches!(command, Command::Open(_) | Command::Deposit(_)) => {
                waived(as_of((now - self.choice % 4).max(0), command))
            }
            _ => command,
        }
    }

    fn opening(self) -> AccountOpened {
        let mut opening = opening(self.amount, if self.choice % 2 == 0 { 0 } else { self.amount });
        if self.who == ACCOUNTS.len() - 1 {
            opening.currency = "JPY".parse().unwrap();
        }
        opening
    }

    /// Sometimes the whole available amount, because no account would ever be closed otherwise.
    fn going_out(self, log: &Log) -> i64 {
        let available =
            log.account(ACCOUNTS[self.who]).summary().map_or(0, |summary| summary.available);
        if self.choice % 5 == 0 && (1..=MAX_AMOUNT).contains(&available) {
            available
        } else {
            self.amount
        }
    }

    /// Mostly another account in the same currency.
    fn receiver(self) -> Uuid {
        let any = self.choice % 8 == 0;
        ACCOUNTS[if any { self.whom } else { (self.who + 1 + self.whom % 2) % 3 }]
    }

    /// One of the account's holds, open or ended, or an unknown one.
    fn hold_id(self, log: &Log) -> Uuid {
        let placed = |event: &AccountEvent| match event {
            AccountEvent::HoldPlaced(placed) => Some(placed.hold_id),
            _ => None,
        };
        let placed: Vec<Uuid> = log.events(ACCOUNTS[self.who]).iter().filter_map(placed).collect();
        let chosen = self.chosen(placed.len() + usize::from(self.choice % 4 == 0));
        chosen.and_then(|chosen| placed.get(chosen)).copied().unwrap_or(Uuid::max())
    }

    /// Mostly the version of a reversible entry.
    fn version(self, log: &Log) -> i64 {
        let events = log.events(ACCOUNTS[self.who]);
        let moved = |event: &AccountEvent| {
            matches!(
                event,
                AccountEvent::MoneyDeposited(_)
                    | AccountEvent::MoneyWithdrawn(_)
                    | AccountEvent::MoneySent(_)
                    | AccountEvent::MoneyReceived(_)
            )
        };
        let moved: Vec<i64> = (1..)
            .zip(events)
            .filter(|(_, event)| moved(event))
            .map(|(version, _)| version)
            .collect();
        let any = self.choice % (i64::try_from(events.len()).unwrap() + 2);
        let chosen = self.chosen(moved.len()).filter(|_| self.choice % 5 > 0);
        chosen.map_or(any, |chosen| moved[chosen])
    }

    fn chosen(self, of: usize) -> Option<usize> {
        usize::try_from(self.choice).unwrap().checked_rem(of)
    }
}

fn id(choice: i64) -> Uuid {
    Uuid::from_u128(choice.cast_unsigned().into())
}
