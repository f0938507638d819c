//! Random steps of a round.

use passbook_shared::money::MAX_AMOUNT;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::round::{ACCOUNTS, Kind, Wish};

/// Requests that are sent at once to one of the instances.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) instance: usize,
    pub(super) way: Way,
    pub(super) wishes: Vec<Wish>,
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

/// Maximum number of steps after the openings.
const LONGEST: usize = 80;

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind::Open, Kind::Deposit, Kind::Deposit, Kind::Deposit,
    Kind::Withdraw, Kind::Withdraw, Kind::Withdraw,
    Kind::Transfer, Kind::Transfer, Kind::Transfer, Kind::Transfer,
    Kind::Hold, Kind::Hold, Kind::Hold, Kind::Capture, Kind::Capture, Kind::Release, Kind::Expire,
    Kind::Reverse, Kind::Reverse, Kind::Reverse, Kind::SetOverdraftLimit,
    Kind::ChangeOwner, Kind::ChangeOwner,
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
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let opening = |who| {
        let opening = wish().prop_map(move |wish| {
            let wish = Wish { kind: Kind::Open, who, key: None, expected: None, ..wish };
            Step { instance: 0, way: Way::Alone, wishes: vec![wish] }
        });
        option::weighted(0.875, opening)
    };
    let openings: Vec<_> = (0..ACCOUNTS).map(opening).collect();
    (openings, vec(step(), 1..LONGEST))
        .prop_map(|(openings, steps)| openings.into_iter().flatten().chain(steps).collect())
}

fn step() -> impl Strategy<Value = Step> {
    (0..2_usize, select(WAYS), vec(wish(), 1..7)).prop_map(|(instance, way, mut wishes)| {
        if matches!(way, Way::Alone | Way::DryRun) {
            wishes.truncate(1);
        }
        Step { instance, way, wishes }
    })
}

fn wish() -> impl Strategy<Value = Wish> {
    let amount = prop_oneof![59 => select(&[1, 2, 3, 4, 5, 5, 10, 20][..]), 1 => Just(MAX_AMOUNT)];
    let key = option::weighted(0.33, 0..8_u64);
    let expected = option::weighted(0.125, select(&[0, 0, 0, -1, 1][..]));
    let choice = 0..1_u64 << 20;
    (select(KINDS), select(WHO), select(WHO), amount, choice, key, expected).prop_map(
        |(kind, who, whom, amount, choice, key, expected)| Wish {
            kind,
            who,
            whom,
            amount,
            choice,
            key,
            expected,
        },
    )
}
