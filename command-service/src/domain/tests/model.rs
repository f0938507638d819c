//! A few accounts as a child would keep them: flags on what there is instead of events. i128, so that no sum overflows.

mod holds;
mod standing;
mod undo;

use std::collections::HashMap;

use passbook_shared::event::HoldStatus;
use passbook_shared::money::{Currency, MAX_AMOUNT};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use self::holds::KeptHold;
use crate::domain::command::Transfer;
use crate::domain::{Command, Refusal};

/// All accounts, opened or not.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) accounts: HashMap<Uuid, Kept>,
    transfer_ids: Vec<Uuid>,
}

/// One that was opened.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) closed: bool,
    currency: Currency,
    pub(super) no_money_out: bool,
    no_money_in: bool,
    pub(super) balance: i128,
    pub(super) limit: i128,
    pub(super) holds: HashMap<Uuid, KeptHold>,
    /// One a version.
    pub(super) entries: Vec<Entry>,
    /// What is available and the limit, as the entry before this one left them.
    before: (i128, i128),
    /// When the next entry is recorded, and when it counts from.
    times: (Timestamp, Timestamp),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    event_type: &'static str,
    /// If it can be undone: what it did to the balance, and where the other leg is if it has one.
    moved: Option<(i128, Option<(Uuid, i64)>)>,
    reversed_by: Option<i64>,
    /// When it counts from, and what it did to what is available and to the limit.
    effect: Option<(Timestamp, i128, i128)>,
}

impl Kept {
    /// Looks at every moment from then on, by all entries that count from it or before.
    fn out_as_of(&self, amount: i128, as_of: Option<Timestamp>) -> Result<(), Refusal> {
        let Some(from) = as_of else { return Ok(()) };
        let effects = || self.entries.iter().filter_map(|entry| entry.effect);
        let mut moments: Vec<Timestamp> =
            effects().map(|effect| effect.0).filter(|at| *at > from).collect();
        moments.push(from);
        moments.sort_unstable();
        let first_limit = self
            .entries
            .first()
            .and_then(|opening| opening.effect)
            .map_or(0, |(_, _, limit)| limit);
        let level = |moment: Timestamp| {
            let until = || effects().skip(1).filter(|effect| effect.0 <= moment);
            let opening =
                effects().next().filter(|effect| effect.0 <= moment).map_or(0, |effect| effect.1);
            let available = opening + until().map(|effect| effect.1).sum::<i128>();
            (available, first_limit + until().map(|effect| effect.2).sum::<i128>(), moment)
        };
        let tightest =
            moments.into_iter().map(level).min_by_key(|(available, limit, _)| available + limit);
        match tightest {
            Some((available, limit, at)) if available - amount < -limit => {
                Err(Refusal::InsufficientFundsAt {
                    available: available.try_into().unwrap(),
                    overdraft_limit: limit.try_into().unwrap(),
                    at,
                })
            }
            _ => Ok(()),
        }
    }

    /// The newest entry has changed so much.
    fn effect(&mut self) {
        let after = (self.available(), self.limit);
        let (recorded, effective) = self.times;
        let entry = self.entries.last_mut().unwrap();
        entry.effect = Some((effective, after.0 - self.before.0, after.1 - self.before.1));
        (self.before, self.times.1) = (after, recorded);
    }

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
    /// Does it, or gives the refusal and does nothing. Holds whose time is over are in nobody's way.
    pub(super) fn ask(
        &mut self,
        account_id: Uuid,
        command: &Command,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.accounts.values_mut().for_each(|account| account.times = (now, now));
        let refusal = match self.ask_with_all_holds(account_id, command, now) {
            Err(
                refusal @ (Refusal::InsufficientFunds { .. }
                | Refusal::HoldsOpen { .. }
                | Refusal::OverdraftInUse { .. }),
            ) => refusal,
            asked => return asked,
        };
        let Some(own) = self.accounts.get_mut(&account_id) else { return Err(refusal) };
        let before = own.clone();
        if !holds::expire_all(own, now) {
            return Err(refusal);
        }
        self.ask_with_all_holds(account_id, command, now).inspect_err(|_| {
            self.accounts.insert(account_id, before);
        })
    }

    fn ask_with_all_holds(
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
                let mut account = Kept {
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
                holds::ask(self.open(account_id)?, command, now)?;
            }
            Command::SetOverdraftLimit(_)
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => {
                standing::ask(self.open(account_id)?, command)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, account_id: Uuid) -> Result<&mut Kept, Refusal> {
        match self.accounts.get_mut(&account_id) {
            None => Err(Refusal::AccountNotFound),
            Some(account) if account.closed => Err(Refusal::AccountClosed),
            Some(account) => Ok(account),
        }
    }

    /// The same of another account than was asked.
    fn other<T>(
        &mut self,
        account_id: Uuid,
        check: impl FnOnce(&mut Kept) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let checked = self.open(account_id).and_then(check);
        checked.map_err(|refusal| Refusal::Counterparty { account_id, refusal: Box::new(refusal) })
    }

    fn transfer(&mut self, from: Uuid, transfer: &Transfer) -> Result<(), Refusal> {
        let (to, amount) = (transfer.to, i128::from(transfer.amount.get()));
        if from == to {
            return Err(Refusal::SameAccount);
        }
        if self.transfer_ids.contains(&transfer.transfer_id) {
            return Err(Refusal::TransferExists);
        }
        let currency = self.open(from)?.currency;
        let (to_currency, to_version) =
            self.other(to, |other| Ok((other.currency, other.next_version())))?;
        if currency != to_currency {
            return Err(Refusal::CurrencyMismatch { from: currency, to: to_currency });
        }
        self.open(from)?.out(amount)?;
        let as_of = transfer.effective_at.filter(|_| !transfer.allow_backdated_overdraft);
        self.open(from)?.out_as_of(amount, as_of)?;
        self.other(to, |other| other.comes_in(amount))?;
        for account_id in [from, to] {
            let account = self.open(account_id)?;
            account.times.1 = transfer.effective_at.unwrap_or(account.times.0);
        }
        self.transfer_ids.push(transfer.transfer_id);
        let from_version = self.open(from)?.next_version();
        self.open(from)?.moves("MoneySent", -amount, Some((to, to_version)));
        self.open(to)?.moves("MoneyReceived", amount, Some((from, from_version)));
        Ok(())
    }
}
