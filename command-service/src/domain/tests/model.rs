//! Naive reference model: mutable flags instead of events. Uses i128, so that no sum overflows.

mod backdated;
mod holds;
mod reversals;
mod standing;
mod transfers;

use std::collections::HashMap;

use passbook_shared::event::HoldStatus;
use passbook_shared::money::{Currency, MAX_AMOUNT};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use self::holds::KeptHold;
use crate::domain::{Command, Refusal};

/// All opened accounts.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) accounts: HashMap<Uuid, ModelAccount>,
    transfer_ids: Vec<Uuid>,
}

/// Account that was opened.
#[derive(Debug, Clone)]
pub(super) struct ModelAccount {
    pub(super) owner: String,
    pub(super) closed: bool,
    currency: Currency,
    pub(super) no_money_out: bool,
    no_money_in: bool,
    pub(super) balance: i128,
    pub(super) limit: i128,
    pub(super) holds: HashMap<Uuid, KeptHold>,
    /// One entry for each version.
    pub(super) entries: Vec<Entry>,
    /// Available money and limit before the newest entry.
    before: (i128, i128),
    /// Time of recording and effective time of the next entry.
    times: (Timestamp, Timestamp),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    event_type: &'static str,
    /// For reversible entries: change of the balance, and place of the other leg, if any.
    moved: Option<(i128, Option<(Uuid, i64)>)>,
    reversed_by: Option<i64>,
    /// Effective time, change of the available money, and change of the limit.
    effect: Option<(Timestamp, i128, i128)>,
}

impl ModelAccount {
    pub(super) fn held(&self) -> i128 {
        self.holds
            .values()
            .filter(|hold| hold.status == HoldStatus::Open)
            .map(|hold| hold.amount)
            .sum()
    }

    pub(super) fn available(&self) -> i128 {
        self.balance - self.held()
    }

    fn out(&self, amount: i128) -> Result<(), Refusal> {
        match () {
            () if self.no_money_out => Err(Refusal::AccountFrozen),
            () if self.available() - amount < -self.limit => Err(Refusal::InsufficientFunds {
                available: self.available().try_into().unwrap(),
                overdraft_limit: self.limit.try_into().unwrap(),
            }),
            () => Ok(()),
        }
    }

    fn comes_in(&self, amount: i128) -> Result<(), Refusal> {
        match () {
            () if self.no_money_in => Err(Refusal::AccountFrozen),
            () if self.balance + amount > MAX_AMOUNT.into() => Err(Refusal::AmountOverflow),
            () => Ok(()),
        }
    }

    fn note(&mut self, event_type: &'static str) {
        self.entries.push(Entry { event_type, ..Entry::default() });
        self.effect();
    }

    fn moves(&mut self, event_type: &'static str, by: i128, other: Option<(Uuid, i64)>) {
        self.balance += by;
        self.entries.push(Entry { event_type, moved: Some((by, other)), ..Entry::default() });
        self.effect();
    }

    fn next_version(&self) -> i64 {
        i64::try_from(self.entries.len()).unwrap() + 1
    }
}

impl Model {
    /// Executes the command, or returns the refusal and changes nothing. Expires holds first if
    /// they would cause a refusal.
    pub(super) fn execute(
        &mut self,
        account_id: Uuid,
        command: &Command,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.accounts.values_mut().for_each(|account| account.times = (now, now));
        let refusal = match self.execute_without_expiry(account_id, command, now) {
            Err(refusal) => refusal,
            Ok(()) => return Ok(()),
        };
        let (concerned, reason) = match &refusal {
            Refusal::Counterparty { account_id, refusal } => (*account_id, &**refusal),
            refusal => (account_id, refusal),
        };
        let may_be_due_to_holds = matches!(
            reason,
            Refusal::InsufficientFunds { .. }
                | Refusal::HoldsOpen { .. }
                | Refusal::OverdraftInUse { .. }
                | Refusal::AmountOverflow
        );
        let Some(account) = self.accounts.get_mut(&concerned).filter(|_| may_be_due_to_holds)
        else {
            return Err(refusal);
        };
        let before = account.clone();
        if !holds::expire_all(account, now) {
            return Err(refusal);
        }
        self.execute(account_id, command, now).inspect_err(|_| {
            self.accounts.insert(concerned, before);
        })
    }

    fn execute_without_expiry(
        &mut self,
        account_id: Uuid,
        command: &Command,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        match command {
            Command::Open(_) if self.accounts.contains_key(&account_id) => {
                return Err(Refusal::AccountExists);
            }
            Command::Open(opening) => {
                let entries = vec![Entry { event_type: "AccountOpened", ..Entry::default() }];
                let (balance, limit) =
                    (opening.initial_deposit.into(), opening.overdraft_limit.into());
                let (no_money_out, no_money_in, closed, holds) =
                    (false, false, false, HashMap::new());
                let currency = opening.currency;
                let (before, times) = ((0, 0), (now, opening.effective_at.unwrap_or(now)));
                let mut account = ModelAccount {
                    owner: opening.owner.to_string(),
                    closed,
                    currency,
                    no_money_out,
                    no_money_in,
                    balance,
                    limit,
                    holds,
                    entries,
                    before,
                    times,
                };
                account.effect();
                self.accounts.insert(account_id, account);
            }
            Command::Transfer(transfer) => self.transfer(account_id, transfer)?,
            Command::Reverse(reversal) => self.reverse(account_id, reversal)?,
            Command::Deposit(deposit) => {
                let own = self.open(account_id)?;
                own.comes_in(deposit.amount.get().into())?;
                own.times.1 = deposit.effective_at.unwrap_or(now);
                own.moves("MoneyDeposited", deposit.amount.get().into(), None);
            }
            Command::Withdraw(withdrawal) => {
                let own = self.open(account_id)?;
                own.out(withdrawal.amount.get().into())?;
                let as_of =
                    withdrawal.effective_at.filter(|_| !withdrawal.allow_backdated_overdraft);
                own.out_as_of(withdrawal.amount.get().into(), as_of)?;
                own.times.1 = withdrawal.effective_at.unwrap_or(now);
                own.moves("MoneyWithdrawn", -i128::from(withdrawal.amount.get()), None);
            }
            Command::Hold(_) | Command::Capture(_) | Command::Release(_) | Command::Expire(_) => {
                holds::execute(self.open(account_id)?, command, now)?;
            }
            Command::SetOverdraftLimit(_)
            | Command::ChangeOwner(_)
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => {
                standing::execute(self.open(account_id)?, command)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, account_id: Uuid) -> Result<&mut ModelAccount, Refusal> {
        match self.accounts.get_mut(&account_id) {
            None => Err(Refusal::AccountNotFound),
            Some(account) if account.closed => Err(Refusal::AccountClosed),
            Some(account) => Ok(account),
        }
    }
}
