//! Properties of random batches.

use std::collections::BTreeMap;

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use proptest::prelude::*;

use super::*;
use crate::decision::command_set::Place;
use crate::domain::tests::specification::{
    capture, deposit, hold_of, release, set_limit, transfer, withdraw,
};
use crate::domain::{Account, evolve};
use crate::request::tests::{dry, with_key};

/// A command by small numbers, so that accounts, ids and amounts often coincide.
type Wish = (u8, bool, u128, i64);

/// Commands of a set: atomic, a dry run, and its wishes.
type Wishes = (bool, bool, Vec<Wish>);

fn wishes() -> impl Strategy<Value = Vec<Wishes>> {
    let wish = (0..7_u8, any::<bool>(), 1..4_u128, 1..80_i64);
    let set = (any::<bool>(), prop::bool::weighted(0.2), prop::collection::vec(wish, 1..4));
    prop::collection::vec(set, 0..10)
}

fn command((kind, is_ada, id, amount): Wish) -> CommandRequest {
    let (own, other) = if is_ada { (ADA, BOB) } else { (BOB, ADA) };
    let id = Uuid::from_u128(id);
    let command = match kind {
        0 => deposit(amount),
        1 => withdraw(amount),
        2 => transfer(id, other, amount),
        3 => Command::Hold(hold_of(id, amount, None)),
        4 => capture(id, None),
        5 => release(id),
        _ => set_limit(amount),
    };
    with_key(request(own, command), &format!("{kind}-{amount}"))
}

fn sets(wishes: &[Wishes]) -> Vec<CommandSet> {
    let of_wishes = |(is_atomic, is_dry, wishes): &Wishes| {
        let requests = wishes.iter().map(|wish| command(*wish));
        set(*is_atomic, requests.map(|own| if *is_dry { dry(own) } else { own }).collect())
    };
    wishes.iter().map(of_wishes).collect()
}

/// Folds the events of a batch over the states that it started from.
fn folded(context: &DecisionContext, batch: &DecidedBatch) -> BTreeMap<Uuid, (i64, Account)> {
    let start = |(id, (_, loaded)): (&Uuid, &(Partition, Loaded))| {
        (*id, (loaded.version, loaded.account.clone()))
    };
    let mut states: BTreeMap<Uuid, (i64, Account)> = context.states.iter().map(start).collect();
    for event in &batch.changes.append.events {
        let (version, account) = states.get_mut(&event.account_id).unwrap();
        assert_eq!(event.version, *version + 1, "versions have no gap");
        let decoded = AccountEvent::decode(event.event_type, event.schema_version, &event.data);
        (*version, *account) = (event.version, evolve(account.clone(), &decoded.unwrap()));
    }
    states
}

proptest! {
    #[test]
    fn the_states_of_a_batch_are_a_fold_of_its_events(wishes in wishes()) {
        let (context, sets) = (opened(), sets(&wishes));
        let batch = decide(&context, &sets);
        for (account_id, (version, account)) in folded(&context, &batch) {
            match batch.changes.states.get(&account_id) {
                Some((changed, _)) => {
                    prop_assert_eq!((changed.version, &changed.account), (version, &account));
                }
                None => prop_assert_eq!(version, 1),
            }
        }
    }

    #[test]
    fn every_event_belongs_to_one_accepted_command(wishes in wishes()) {
        let batch = decide(&opened(), &sets(&wishes));
        let mut owned = Vec::new();
        for (_, decision) in &batch.decisions {
            let Decision::Accepted { own, to } = decision else { continue };
            for change in std::iter::once(own).chain(to) {
                if let ChangeEvents::InBatch(range) = &change.events {
                    owned.extend(range.clone().map(|index| (index, change.account_id)));
                }
            }
        }
        owned.sort_unstable();
        let events = batch.changes.append.events.iter().enumerate();
        let events: Vec<(usize, Uuid)> =
            events.map(|(index, event)| (index, event.account_id)).collect();
        prop_assert_eq!(owned, events);
    }

    #[test]
    fn every_command_is_decided_once_and_in_its_place(wishes in wishes()) {
        let sets = sets(&wishes);
        let batch = decide(&opened(), &sets);
        let expected = sets.iter().enumerate().flat_map(|(index, set)| set.places(index));
        let places = batch.decisions.iter().map(|(place, _)| *place);
        prop_assert_eq!(places.collect::<Vec<Place>>(), expected.collect::<Vec<Place>>());
        for (index, set) in sets.iter().enumerate().filter(|(_, set)| set.is_atomic) {
            let own = batch.decisions.iter().filter(|((of, _), _)| *of == index);
            let accepted = own.filter(|(_, decision)| decision.is_accepted()).count();
            let is_aborted = batch.aborted.contains(&index);
            prop_assert_eq!(accepted, if is_aborted { 0 } else { set.commands.len() });
        }
    }

    /// A batch that is cut in two has the same decisions and the same events.
    #[test]
    fn a_batch_is_decided_like_two_smaller_ones(wishes in wishes(), cut in 0..10_usize) {
        let sets = sets(&wishes);
        let cut = cut.min(sets.len());
        let whole = decide(&opened(), &sets);
        let first = decide(&opened(), &sets[..cut]);
        let mut decisions = described(&first);
        let mut events = first.changes.append.events.clone();
        let second = decide(&context_after(opened(), first), &sets[cut..]);
        decisions.extend(described(&second));
        events.extend(second.changes.append.events.iter().cloned());
        prop_assert_eq!(described(&whole), decisions);
        prop_assert_eq!(format!("{:?}", whole.changes.append.events), format!("{events:?}"));
    }

    /// Atomic or not, the same commands have the same effect if all are accepted.
    #[test]
    fn a_merged_branch_is_what_its_commands_would_do_alone(wishes in wishes()) {
        let alone: Vec<Wishes> =
            wishes.iter().map(|(_, is_dry, all)| (false, *is_dry, all.clone())).collect();
        let whole = decide(&opened(), &sets(&wishes));
        if whole.aborted.is_empty() {
            let alone = decide(&opened(), &sets(&alone));
            prop_assert_eq!(
                format!("{:?}", whole.changes.append.events),
                format!("{:?}", alone.changes.append.events)
            );
        }
    }

    #[test]
    fn a_batch_of_dry_runs_appends_nothing(wishes in wishes()) {
        let dry: Vec<Wishes> =
            wishes.iter().map(|(is_atomic, _, all)| (*is_atomic, true, all.clone())).collect();
        let batch = decide(&opened(), &sets(&dry));
        let append = &batch.changes.append;
        prop_assert!(append.events.is_empty() && append.keys.is_empty());
        prop_assert!(batch.changes.states.is_empty());
    }
}
