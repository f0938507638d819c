//! Fold of an account's events.

use passbook_shared::event::AccountEvent;
use passbook_shared::money::MAX_AMOUNT;
use uuid::Uuid;

use super::{Account, ClosedAccount, Freeze, Hold, Holds, OpenAccount};

/// Applies one event. Total: an event that the decider would never allow leaves the account
/// unchanged.
#[must_use]
pub fn evolve(account: Account, event: &AccountEvent) -> Account {
    match (account, event) {
        (Account::Unopened, AccountEvent::AccountOpened(opened)) => Account::Open(OpenAccount {
            tenant: opened.tenant.clone(),
            owner: opened.owner.clone(),
            currency: opened.currency,
            balance: opened.initial_deposit,
            held: 0,
            overdraft_limit: opened.overdraft_limit,
            freeze: None,
            holds: Holds::default(),
        }),
        (Account::Open(open), event) => evolve_open(open, event),
        // No `_` arm, so that the compiler asks for the effect of a new event.
        (
            account @ (Account::Unopened | Account::Closed(_)),
            AccountEvent::AccountOpened(_)
            | AccountEvent::MoneyDeposited(_)
            | AccountEvent::MoneyWithdrawn(_)
            | AccountEvent::MoneySent(_)
            | AccountEvent::MoneyReceived(_)
            | AccountEvent::HoldPlaced(_)
            | AccountEvent::HoldCaptured(_)
            | AccountEvent::HoldReleased(_)
            | AccountEvent::HoldExpired(_)
            | AccountEvent::EntryReversed(_)
            | AccountEvent::OverdraftLimitSet(_)
            | AccountEvent::OwnerChanged(_)
            | AccountEvent::AccountFrozen(_)
            | AccountEvent::AccountUnfrozen(_)
            | AccountEvent::AccountClosed(_),
        ) => account,
    }
}

fn evolve_open(mut open: OpenAccount, event: &AccountEvent) -> Account {
    match event {
        AccountEvent::AccountOpened(_) => {}
        AccountEvent::MoneyDeposited(deposit) => open.moved(deposit.amount.get()),
        AccountEvent::MoneyWithdrawn(withdrawal) => open.moved(-withdrawal.amount.get()),
        AccountEvent::MoneySent(leg) => open.moved(-leg.amount.get()),
        AccountEvent::MoneyReceived(leg) => open.moved(leg.amount.get()),
        AccountEvent::HoldPlaced(placed) => {
            // The decider permits no second hold with the id; `evolve` is total and replaces the
            // first.
            open.end_hold(placed.hold_id);
            let hold = Hold { amount: placed.amount.get(), expires_at: placed.expires_at };
            open.held = open.held.saturating_add(hold.amount).min(MAX_AMOUNT);
            open.holds.insert_mut(placed.hold_id, hold);
        }
        AccountEvent::HoldCaptured(captured) => {
            open.end_hold(captured.hold_id);
            // Only the captured part leaves the account; the whole hold has ended.
            open.moved(-captured.amount.get());
        }
        AccountEvent::HoldReleased(released) => open.end_hold(released.hold_id),
        AccountEvent::HoldExpired(expired) => open.end_hold(expired.hold_id),
        AccountEvent::EntryReversed(reversed) => open.moved(reversed.movement()),
        AccountEvent::OverdraftLimitSet(set) => open.overdraft_limit = set.limit,
        AccountEvent::OwnerChanged(changed) => open.owner = changed.owner.clone(),
        AccountEvent::AccountFrozen(frozen) => {
            open.freeze = Some(Freeze { block_credits: frozen.block_credits })
        }
        AccountEvent::AccountUnfrozen(_) => open.freeze = None,
        AccountEvent::AccountClosed(_) => {
            // Balance and holds go: the decider closes only an account without them.
            return Account::Closed(ClosedAccount {
                tenant: open.tenant,
                owner: open.owner,
                currency: open.currency,
                overdraft_limit: open.overdraft_limit,
            });
        }
    }
    Account::Open(open)
}

impl OpenAccount {
    /// Changes the balance by an amount that the decider found to be within bounds.
    fn moved(&mut self, by: i64) {
        // Within bounds even for an event that the decider would never permit.
        self.balance = self.balance.saturating_add(by).clamp(-MAX_AMOUNT, MAX_AMOUNT);
    }

    fn end_hold(&mut self, hold_id: Uuid) {
        if let Some(hold) = self.holds.get(&hold_id) {
            self.held -= hold.amount;
            self.holds.remove_mut(&hold_id);
        }
    }
}
