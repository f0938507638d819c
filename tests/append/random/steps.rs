//! Random steps of a round.

use command_service::domain::Command;
use command_service::request::CommandRequest;
use passbook_shared::money::MAX_AMOUNT;
use uuid::Uuid;

use super::dice::Dice;
use super::reference::Reference;
use super::round::{ACCOUNTS, Kind, Round, Wish};

/// Requests that are sent at once to one of the instances.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) instance: usize,
    pub(super) way: Way,
    pub(super) requests: Vec<CommandRequest>,
}

/// Way of sending the requests of a step.
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

    pub(super) fn is_dry_run(self) -> bool {
        matches!(self, Self::DryRun | Self::DryRuns | Self::DryRunsAllOrNone)
    }
}

const LENGTH: usize = 40;

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind::Open, Kind::Deposit, Kind::Deposit, Kind::Deposit,
    Kind::Withdraw, Kind::Withdraw, Kind::Withdraw,
    Kind::Transfer, Kind::Transfer, Kind::Transfer, Kind::Transfer,
    Kind::Hold, Kind::Hold, Kind::Hold, Kind::Capture, Kind::Capture, Kind::Release, Kind::Expire,
    Kind::Reverse, Kind::Reverse, Kind::Reverse, Kind::SetOverdraftLimit,
    Kind::Freeze, Kind::Unfreeze, Kind::Unfreeze, Kind::Close,
    Kind::Repeat, Kind::Repeat, Kind::Repeat, Kind::Repeat,
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

/// Mostly the first accounts, so that commands build on each other.
const WHO: &[usize] = &[0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4];

/// Returns the steps of a round, which first opens most of the accounts.
pub(super) fn steps(seed: u64) -> Vec<Step> {
    let (dice, mut round, mut reference) =
        (&mut Dice::new(seed), Round::new(seed), Reference::default());
    let mut steps = Vec::new();
    let mut add = |instance, way: Way, wishes: Vec<Wish>| {
        let requests = round.requests(way, &wishes, &reference);
        reference.answer(&requests, way.all_or_none());
        steps.push(Step { instance, way, requests });
    };
    for who in 0..ACCOUNTS {
        if !dice.one_in(8) {
            add(
                0,
                Way::Alone,
                vec![Wish { kind: Kind::Open, who, key: None, expected: None, ..wish(dice) }],
            );
        }
    }
    for _ in 0..LENGTH {
        let way = dice.of(WAYS);
        let many = if matches!(way, Way::Alone | Way::DryRun) { 1 } else { 2 + dice.roll(5) };
        add(dice.of(&[0, 1]), way, (0..many).map(|_| wish(dice)).collect());
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

/// Returns a step with other accounts and transfers, for a log that already has those of the
/// original.
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
