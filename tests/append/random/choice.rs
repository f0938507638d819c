//! Values that a random number chooses, the same for the same number.

use passbook_shared::event::AccountEvent;
use passbook_shared::text::Reference as Words;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::reference::Reference;

/// Returns mostly the version of a reversible entry, now and then one that does not exist yet.
pub(super) fn version(account: Uuid, choice: u64, reference: &Reference) -> i64 {
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

/// Returns an expiry in the far future, one in the past, or none.
pub(super) fn expiry(choice: u64) -> Option<Timestamp> {
    let hours = [None, None, Some(24), Some(-24)][usize::try_from(choice / 8 % 4).unwrap()]?;
    // Fixed times, so that a repeat has the same content.
    let start = if hours > 0 { 4_000_000_000_000_000 } else { 1_700_000_000_000_000 };
    Timestamp::from_micros(start + hours * 3_600_000_000)
}

/// Returns a reference once in six times.
pub(super) fn words(choice: u64) -> Option<Words> {
    (choice.is_multiple_of(6)).then(|| Words::new("a reference").unwrap())
}

/// Returns an index below `of`.
pub(super) fn chosen(choice: u64, of: usize) -> usize {
    usize::try_from(choice / 3).unwrap().checked_rem(of).unwrap_or_default()
}

/// Returns the `n`-th id of its kind in a round.
pub(super) fn id(round: u64, kind: &str, n: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{round} {kind} {n}").as_bytes())
}
