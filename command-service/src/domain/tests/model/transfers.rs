//! Transfers: money that leaves one account and enters another.

use uuid::Uuid;

use super::{Model, ModelAccount};
use crate::domain::Refusal;
use crate::domain::command::Transfer;

impl Model {
    /// Checks the other account; wraps its refusals.
    pub(super) fn other<T>(
        &mut self,
        account_id: Uuid,
        check: impl FnOnce(&mut ModelAccount) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let checked = self.open(account_id).and_then(check);
        checked.map_err(|refusal| Refusal::Counterparty { account_id, refusal: Box::new(refusal) })
    }

    pub(super) fn transfer(&mut self, from: Uuid, transfer: &Transfer) -> Result<(), Refusal> {
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
