//! Debits as of an earlier time, which rest on a timeline of their account.

use super::*;
use crate::domain::effective::Timeline;
use crate::domain::tests::specification::{as_of, deposit, waived, withdraw};

/// Returns the context with ada's timeline from a time on. She has had 100 ever since.
fn context_from(seconds: i64) -> DecisionContext {
    let mut context = opened();
    let (_, loaded) = &context.states[&ADA];
    let timeline = Timeline::new(at(seconds), loaded.version, &loaded.account);
    context.facts.timelines.insert(ADA, timeline);
    context.times.values_mut().for_each(|time| *time = at(1_000));
    context
}

fn back(seconds: i64, amount: i64) -> CommandRequest {
    request(ADA, as_of(seconds, withdraw(amount)))
}

#[test]
fn a_backdated_debit_needs_a_timeline_that_reaches_back() {
    let one = |request| described(&decide(&context_from(50), &each(vec![request])))[0].clone();
    assert_eq!(one(back(50, 100)), "v2");
    assert_eq!(one(back(49, 100)), "Conflict");
    // A waived check needs none, and neither does a debit as of now.
    assert_eq!(one(request(ADA, waived(as_of(49, withdraw(100))))), "v2");
    assert_eq!(one(request(ADA, withdraw(100))), "v2");
    let without = described(&decide(&opened(), &each(vec![back(-1, 1)])));
    assert_eq!(without, ["Conflict"]);
}

#[test]
fn the_events_of_a_batch_count_at_their_effective_times() {
    let batch = decide(
        &context_from(50),
        &each(vec![
            // Recorded last, effective at 80: of no use before.
            request(ADA, as_of(80, deposit(30))),
            back(60, 101),
            back(80, 125),
            request(ADA, deposit(50)),
            back(60, 6),
            back(60, 5),
        ]),
    );
    let refused = |available, seconds| {
        let at = at(seconds);
        format!("{:?}", Refusal::InsufficientFundsAt { available, overdraft_limit: 0, at })
    };
    let described = described(&batch);
    assert_eq!((described[0].as_str(), described[1].as_str()), ("v2", refused(100, 60).as_str()));
    assert_eq!((described[2].as_str(), described[3].as_str()), ("v3", "v4"));
    assert_eq!((described[4].as_str(), described[5].as_str()), (refused(5, 80).as_str(), "v5"));
    assert_eq!(batch.changes.facts.timelines[&ADA].version(), 5);
}

#[test]
fn a_dropped_branch_leaves_the_timeline_as_it_was() {
    let batch = decide(
        &context_from(50),
        &[
            set(true, vec![back(60, 100), request(BOB, withdraw(1))]),
            set(true, vec![back(60, 100)]),
        ],
    );
    assert_eq!(described(&batch), ["SetAborted", "funds", "v2"]);
}
