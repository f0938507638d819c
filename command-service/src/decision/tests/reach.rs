//! Senders that reach a part of the accounts.

use passbook_shared::access::Reach;
use passbook_shared::text::Owner;

use super::*;
use crate::domain::tests::specification::{deposit, reverse, transfer, withdraw};
use crate::request::tests::with_key;

/// Account that was never opened.
const NOBODY: Uuid = Uuid::from_u128(3);

fn tenant(name: &str) -> Reach {
    Reach { tenant: Some(name.parse().unwrap()), owner: None }
}

fn owner(name: &str) -> Reach {
    Reach { tenant: None, owner: Some(Owner::new(name).unwrap()) }
}

fn by(reach: &Reach, account_id: Uuid, command: Command) -> CommandRequest {
    let keyed = with_key(request(account_id, command), "k");
    CommandRequest { reach: reach.clone(), ..keyed }
}

fn open_in(reach: &Reach, balance: i64) -> Command {
    let mut opening = opening(balance, 0);
    opening.tenant.clone_from(&reach.tenant);
    Command::Open(opening)
}

/// Returns the context of ada's account with 100 in `acme`, and of bob's with 100 in `other`.
fn tenants() -> DecisionContext {
    let mut context = context();
    context.states.insert(NOBODY, (partition_of(NOBODY, PARTITIONS), Loaded::default()));
    let openings =
        [(ADA, "acme"), (BOB, "other")].map(|(id, name)| request(id, open_in(&tenant(name), 100)));
    let batch = decide(&context, &each(openings.to_vec()));
    context_after(context, batch)
}

fn decided(commands: Vec<CommandRequest>) -> (Vec<String>, usize) {
    let batch = decide(&tenants(), &each(commands));
    (described(&batch), batch.changes.append.keys.len())
}

#[test]
fn an_account_out_of_reach_is_as_good_as_missing_and_keeps_no_key() {
    let transfer_id = Uuid::from_u128(7);
    for reach in [tenant("other"), owner("nobody")] {
        for account_id in [ADA, NOBODY] {
            let sender = |command| by(&reach, account_id, command);
            let found = decided(vec![
                sender(deposit(5)),
                sender(withdraw(1_000)),
                sender(transfer(transfer_id, BOB, 5)),
            ]);
            let missing = vec!["AccountNotFound".to_owned(); 3];
            assert_eq!(found, (missing, 0), "{reach:?} {account_id}");
            let to_itself = decided(vec![sender(transfer(transfer_id, account_id, 5))]);
            assert_eq!(to_itself.0, ["SameAccount"]);
        }
    }
}

#[test]
fn an_id_out_of_reach_is_taken() {
    let other = tenant("other");
    let found = decided(vec![by(&other, ADA, open_in(&other, 5))]);
    assert_eq!(found, (vec!["AccountExists".to_owned()], 0));
    // A sender that reaches the account uses up its key, as before.
    let acme = tenant("acme");
    let found = decided(vec![by(&acme, ADA, open_in(&acme, 5))]);
    assert_eq!(found, (vec!["AccountExists".to_owned()], 1));
}

#[test]
fn a_sender_uses_the_accounts_in_its_reach() {
    let found = decided(vec![by(&tenant("acme"), ADA, deposit(5))]);
    assert_eq!(found, (vec!["v2".to_owned()], 1));
    let owner_of_all = opening(0, 0).owner;
    let found = decided(vec![by(&owner(&owner_of_all), ADA, deposit(5))]);
    assert_eq!(found, (vec!["v2".to_owned()], 1));
}

#[test]
fn no_transfer_leaves_a_tenant() {
    for reach in [Reach::default(), tenant("acme")] {
        for to in [BOB, NOBODY] {
            let command = transfer(Uuid::from_u128(7), to, 5);
            let missing = format!("Counterparty {{ account_id: {to}, refusal: AccountNotFound }}");
            assert_eq!(decided(vec![by(&reach, ADA, command)]), (vec![missing], 1), "{reach:?}");
        }
    }
}

#[test]
fn a_reversal_takes_money_back_only_from_accounts_in_reach() {
    let mut of_bob = opening(100, 0);
    of_bob.owner = Owner::new("bob").unwrap();
    let openings = [request(ADA, open(100)), request(BOB, Command::Open(of_bob))];
    let context = super::context();
    let batch = decide(&context, &each(openings.to_vec()));
    let context = context_after(context, batch);
    let sender = owner(&opening(0, 0).owner);
    let reversed = |reach: &Reach, account_id| {
        let sent = request(ADA, transfer(Uuid::from_u128(7), BOB, 5));
        let reversal = CommandRequest { reach: reach.clone(), ..request(account_id, reverse(2)) };
        described(&decide(&context, &each(vec![sent, reversal]))).remove(1)
    };
    let foreign = format!("Counterparty {{ account_id: {BOB}, refusal: AccountNotFound }}");
    assert_eq!(reversed(&sender, ADA), foreign);
    assert_eq!(reversed(&Reach::default(), ADA), reversed(&owner("bob"), BOB));
    assert_ne!(reversed(&owner("bob"), BOB), foreign, "the receiver gives it back");
}

#[test]
fn an_event_names_the_tenant_of_its_account() {
    let batch = decide(&tenants(), &each(vec![by(&tenant("acme"), ADA, deposit(5))]));
    let context = &batch.changes.append.events[0].metadata.context;
    assert_eq!(context.tenant.as_deref(), Some("acme"));
    assert_eq!(context.idempotency_key.as_deref(), Some("k"));
    let opening = decide(&super::context(), &each(vec![request(ADA, open(100))]));
    assert_eq!(opening.changes.append.events[0].metadata.context.tenant, None);
}
