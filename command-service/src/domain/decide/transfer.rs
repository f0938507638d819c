//! Decision on transfers. An accepted transfer has one leg on each of the two accounts.

use passbook_shared::event::{AccountEvent, TransferLeg};

use super::{Decided, Past, Subject, money, on_counterparty, opened};
use crate::domain::command::Transfer;
use crate::domain::effective::Headroom;
use crate::domain::refusal::Refusal;

pub(super) fn transfer(
    from: Subject<'_>,
    transfer: &Transfer,
    to: Option<Subject<'_>>,
    (past, headroom): (&Past, Option<Headroom>),
) -> Result<Decided, Refusal> {
    // First: on one account, both legs would claim the same version.
    if transfer.to == from.account_id {
        return Err(Refusal::SameAccount);
    }
    if past.transfer_exists {
        return Err(Refusal::TransferExists);
    }
    let amount = transfer.amount.get();
    let sender = opened(from.account)?;
    let (to, receiver) = on_counterparty(to, Ok)?;
    if sender.currency != receiver.currency {
        return Err(Refusal::CurrencyMismatch { from: sender.currency, to: receiver.currency });
    }
    money::may_go_out(sender, amount)?;
    money::may_have_gone_out(headroom, amount)?;
    on_counterparty(Some(to), |receiver| money::may_come_in(receiver, amount))?;
    Ok(Decided {
        events: vec![AccountEvent::MoneySent(leg(transfer, to))],
        counterparty: vec![AccountEvent::MoneyReceived(leg(transfer, from))],
    })
}

/// Returns a leg that refers to the other leg, which will be the counterparty's next event.
fn leg(transfer: &Transfer, counterparty: Subject<'_>) -> TransferLeg {
    TransferLeg {
        transfer_id: transfer.transfer_id,
        counterparty: counterparty.account_id,
        counterparty_version: counterparty.version + 1,
        amount: transfer.amount,
        reference: transfer.reference.clone(),
        effective_at: transfer.effective_at,
        metadata: transfer.metadata.clone(),
        allow_backdated_overdraft: transfer.allow_backdated_overdraft,
    }
}
