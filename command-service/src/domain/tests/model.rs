//! Any sequence of commands, against a model that knows nothing of events.

use passbook_shared::event::AccountEvent;
use passbook_shared::money::MAX_AMOUNT;
use proptest::prelude::*;

use super::specification::{because, freeze, money, opening};
use crate::domain::{Account, AccountSummary, Command, Refusal, decide, evolve};

/// An account as a child would keep it. i128, so that no sum can overflow here.
#[derive(Debug, Clone, Default)]
struct Model {
    exists: bool,
    closed: bool,
    no_money_out: bool,
    no_money_in: bool,
    balance: i128,
    overdraft: i128,
}

impl Model {
    /// Does it, or gives the code of the refusal and does nothing.
    fn ask(&mut self, command: &Command) -> Result<(), &'static str> {
        if let Command::Open(opening) = command {
            if self.exists {
                return Err("account_exists");
            }
            let (balance, overdraft) = (opening.initial_deposit.into(), opening.overdraft_limit.into());
            *self = Self { exists: true, balance, overdraft, ..Self::default() };
            return Ok(());
        }
        match () {
            () if !self.exists => Err("account_not_found"),
            () if self.closed => Err("account_closed"),
            () => self.ask_open(command),
        }
    }

    fn ask_open(&mut self, command: &Command) -> Result<(), &'static str> {
        match command {
            Command::Open(_) => unreachable!("answered before"),
            Command::Deposit(_) if self.no_money_in => return Err("account_frozen"),
            Command::Deposit(deposit) => {
                let balance = self.balance + i128::from(deposit.amount.get());
                if balance > MAX_AMOUNT.into() {
                    return Err("amount_overflow");
                }
                self.balance = balance;
            }
            Command::Withdraw(_) if self.no_money_out => return Err("account_frozen"),
            Command::Withdraw(withdrawal) => {
                let balance = self.balance - i128::from(withdrawal.amount.get());
                if balance < -self.overdraft {
                    return Err("insufficient_funds");
                }
                self.balance = balance;
            }
            Command::Freeze(freeze) => (self.no_money_out, self.no_money_in) = (true, freeze.block_credits),
            Command::Unfreeze(_) => (self.no_money_out, self.no_money_in) = (false, false),
            Command::Close(_) if self.balance != 0 => return Err("balance_not_zero"),
            Command::Close(_) => self.closed = true,
        }
        Ok(())
    }

    fn status(&self) -> &'static str {
        match self {
            Self { closed: true, .. } => "closed",
            Self { no_money_out: true, .. } => "frozen",
            _ => "open",
        }
    }
}

/// Amounts that meet each other often, and those at the end of the scale.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1..=5_i64, 2 => Just(100), 1 => 1..=MAX_AMOUNT, 1 => MAX_AMOUNT - 3..=MAX_AMOUNT]
}

fn amount_or_zero() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), amount()]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => (amount_or_zero(), amount_or_zero()).prop_map(|(start, limit)| Command::Open(opening(start, limit))),
        6 => amount().prop_map(|amount| Command::Deposit(money(amount))),
        6 => amount().prop_map(|amount| Command::Withdraw(money(amount))),
        1 => any::<bool>().prop_map(|both| Command::Freeze(freeze(both))),
        2 => Just(Command::Unfreeze(because("lifted"))),
        2 => Just(Command::Close(because("moved away"))),
    ]
}

fn code(refusal: &Refusal) -> String {
    serde_json::to_value(refusal).unwrap()["code"].as_str().unwrap().to_owned()
}

fn fold(events: &[AccountEvent]) -> Account {
    events.iter().fold(Account::default(), evolve)
}

/// What an event adds to the balance, as a bookkeeper would say.
fn movement(event: &AccountEvent) -> i64 {
    match event {
        AccountEvent::AccountOpened(opened) => opened.initial_deposit,
        AccountEvent::MoneyDeposited(deposit) => deposit.amount.get(),
        AccountEvent::MoneyWithdrawn(withdrawal) => -withdrawal.amount.get(),
        AccountEvent::AccountFrozen(_) | AccountEvent::AccountUnfrozen(_) | AccountEvent::AccountClosed(_) => 0,
    }
}

fn stands_as(summary: Option<AccountSummary>, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(summary.is_some(), model.exists);
    let Some(summary) = summary else { return Ok(()) };
    prop_assert_eq!(i128::from(summary.balance), model.balance);
    prop_assert_eq!(summary.available, summary.balance - summary.held);
    prop_assert!(summary.available >= -summary.overdraft_limit);
    prop_assert!(summary.balance.abs() <= MAX_AMOUNT);
    prop_assert_eq!(i128::from(summary.overdraft_limit), model.overdraft);
    prop_assert_eq!(summary.status.as_str(), model.status());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn any_sequence_of_commands_does_what_the_model_does(commands in prop::collection::vec(command(), 1..40)) {
        let (mut account, mut model, mut log) = (Account::default(), Model::default(), Vec::new());
        for command in &commands {
            let (before, was_closed) = (account.clone(), model.closed);
            let decided = decide(&account, command);
            prop_assert_eq!(decided.as_ref().map(|_| ()).map_err(code), model.ask(command).map_err(str::to_owned));
            let events = decided.unwrap_or_default();
            account = events.iter().fold(account, evolve);
            prop_assert!(!was_closed || account == before, "closed is final");
            log.extend(events);
            stands_as(account.summary(), &model)?;
        }
        prop_assert_eq!(&account, &fold(&log));
        prop_assert_eq!(account.summary().map_or(0, |a| a.balance), log.iter().map(movement).sum::<i64>());
    }

    #[test]
    fn asking_the_same_of_the_same_account_is_answered_the_same(
        commands in prop::collection::vec(command(), 1..20),
        last in command(),
    ) {
        let grow = |account: Account, command| decide(&account, command).unwrap_or_default().iter().fold(account, evolve);
        let account = commands.iter().fold(Account::default(), grow);
        prop_assert_eq!(decide(&account, &last), decide(&account.clone(), &last));
    }

    #[test]
    fn events_and_states_survive_being_stored(commands in prop::collection::vec(command(), 1..20)) {
        let mut account = Account::default();
        for command in &commands {
            for event in decide(&account, command).unwrap_or_default() {
                let data = event.data().unwrap();
                let read = AccountEvent::decode(event.event_type(), event.schema_version(), &data).unwrap();
                prop_assert_eq!(&read, &event);
                account = evolve(account, &read);
            }
            let state = serde_json::to_string(&account).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Account>(&state).unwrap(), &account);
        }
    }

    #[test]
    fn no_log_however_wrong_breaks_the_fold(commands in prop::collection::vec(command(), 0..40)) {
        // Events as they were asked for, whether or not the decider would have let them happen.
        let events = commands.into_iter().map(|command| match command {
            Command::Open(opening) => AccountEvent::AccountOpened(opening),
            Command::Deposit(deposit) => AccountEvent::MoneyDeposited(deposit),
            Command::Withdraw(withdrawal) => AccountEvent::MoneyWithdrawn(withdrawal),
            Command::Freeze(freeze) => AccountEvent::AccountFrozen(freeze),
            Command::Unfreeze(reason) => AccountEvent::AccountUnfrozen(reason),
            Command::Close(reason) => AccountEvent::AccountClosed(reason),
        });
        let account = fold(&events.collect::<Vec<_>>());
        prop_assert!(account.summary().is_none_or(|summary| summary.balance.abs() <= MAX_AMOUNT));
        let _ = decide(&account, &Command::Withdraw(money(MAX_AMOUNT)));
    }
}
