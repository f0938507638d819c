use passbook_shared::partition::Partition;
use uuid::Uuid;

use super::*;
use crate::decision::tests::{ADA, BOB, set};
use crate::domain::Refusal;
use crate::domain::tests::specification::{deposit, transfer};
use crate::log::outcomes::CausedEvents;
use crate::request::CommandRequest;
use crate::request::tests::{request, with_key};

fn refused() -> PriorOutcome {
    let refusal = Refusal::AccountNotFound;
    PriorOutcome::Known(Ok(Outcome::Refused { replayed: true, refusal }))
}

fn failed(error: CommandError) -> PriorOutcome {
    PriorOutcome::Known(Err(error))
}

fn accepted() -> PriorOutcome {
    let (partition, account_id) = (Partition::new(0), ADA);
    let events = CausedEvents { partition, account_id, version: 2, count: 1 };
    PriorOutcome::Accepted { events, command_id: ADA, replayed: true }
}

fn keyed(key: &str) -> CommandRequest {
    with_key(request(ADA, deposit(1)), key)
}

fn three(is_atomic: bool) -> CommandSet {
    set(is_atomic, vec![keyed("a"), keyed("b"), keyed("c")])
}

/// Returns the outcomes of a set of three commands: none, accepted, refused, or an error's name.
fn described(prior: &Prior<'_>, index: usize) -> [String; 3] {
    let describe = |n| match prior.outcomes.get((index, n)) {
        None => "none".to_owned(),
        Some(PriorOutcome::Accepted { .. }) => "accepted".to_owned(),
        Some(PriorOutcome::Known(Ok(_))) => "refused".to_owned(),
        Some(PriorOutcome::Known(Err(error))) => format!("{error:?}"),
    };
    [0, 1, 2].map(describe)
}

fn prior<'s>(
    sets: &'s [&'s CommandSet],
    known: impl IntoIterator<Item = (Place, PriorOutcome)>,
) -> Prior<'s> {
    let mut outcomes = PriorOutcomes::default();
    known.into_iter().for_each(|(place, outcome)| outcomes.set(place, outcome));
    Prior::new(sets, outcomes)
}

#[test]
fn a_command_that_was_not_accepted_aborts_the_others_of_its_set() {
    let sets = [&three(true), &three(true), &three(true)];
    let known = [
        ((0, 1), refused()),
        ((0, 2), accepted()),
        ((1, 0), failed(CommandError::KeyReused)),
        ((2, 0), accepted()),
    ];
    let prior = prior(&sets, known);
    assert_eq!(described(&prior, 0), ["SetAborted", "refused", "SetAborted"]);
    assert_eq!(described(&prior, 1), ["KeyReused", "SetAborted", "SetAborted"]);
    assert_eq!(described(&prior, 2), ["accepted", "none", "none"]);
}

#[test]
fn the_first_cause_of_a_set_is_its_outcome() {
    let sets = [&three(true)];
    let prior = prior(&sets, [((0, 1), refused()), ((0, 2), failed(CommandError::KeyReused))]);
    assert_eq!(described(&prior, 0), ["SetAborted", "refused", "SetAborted"]);
    assert!(prior.open().is_empty());
}

#[test]
fn commands_that_are_not_an_atomic_set_abort_no_others() {
    let sets = [&three(false)];
    let prior = prior(&sets, [((0, 0), refused()), ((0, 1), failed(CommandError::KeyReused))]);
    assert_eq!(described(&prior, 0), ["refused", "KeyReused", "none"]);
    assert!(prior.has((0, 1)) && !prior.has((0, 2)));
    assert_eq!(prior.open().len(), 1);
}

#[test]
fn an_abort_of_the_decision_replaces_what_was_known() {
    let sets = [&three(true), &three(true)];
    let mut prior = prior(&sets, [((0, 0), accepted()), ((1, 2), accepted())]);
    prior.abort_known(0);
    assert_eq!(described(&prior, 0), ["SetAborted", "none", "none"]);
    assert_eq!(described(&prior, 1), ["none", "none", "accepted"]);
}

#[test]
fn of_sets_that_share_an_identity_the_first_that_is_open_is_decided() {
    let one = |request| set(false, vec![request]);
    let to_bob = || request(ADA, transfer(Uuid::from_u128(7), BOB, 1));
    let sets = [
        one(keyed("a")),
        one(keyed("a")),
        one(keyed("a")),
        one(to_bob()),
        one(with_key(to_bob(), "b")),
        one(keyed("b")),
        one(request(BOB, deposit(1))),
        one(request(BOB, deposit(1))),
    ];
    let sets: Vec<&CommandSet> = sets.iter().collect();
    let indices = |known| {
        let open = prior(&sets, known).open();
        open.into_iter().map(|(index, _)| index).collect::<Vec<_>>()
    };
    // The fifth is the transfer of the fourth. Its key counts as used as well.
    assert_eq!(indices(vec![]), [0, 3, 6, 7]);
    // A set with all of its outcomes has no claim.
    assert_eq!(indices(vec![((0, 0), accepted()), ((3, 0), refused())]), [1, 4, 6, 7]);
}

#[test]
fn the_places_of_the_outcomes_are_those_of_the_batch() {
    let sets = [&three(false), &three(false)];
    let prior = prior(&sets, [((1, 0), refused())]);
    assert_eq!(described(&prior, 0), ["none", "none", "none"]);
    assert_eq!(described(&prior, 1), ["refused", "none", "none"]);
    let open: Vec<usize> = prior.open().into_iter().map(|(index, _)| index).collect();
    assert_eq!(open, [0], "the second set repeats the keys of the first");
}
