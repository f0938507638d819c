//! Accounts by when their entries count from.

use command_service::domain::Command;
use command_service::log::store::{self, Store};
use passbook_shared::event::MoneyMoved;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::ground::{Log, accepted, money, request};

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_from_earlier_is_there_earlier_as_far_as_it_was_known() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open_with(1, 50).await[0];
    let at = |time: &str| -> Timestamp { time.parse().unwrap() };
    let from = |time, amount| MoneyMoved { effective_at: Some(at(time)), ..money(amount) };
    accepted(instance.send(request(account, Command::Deposit(from("2026-01-10T00:00:00Z", 100)))).await);
    accepted(instance.send(request(account, Command::Withdraw(from("2026-02-01T00:00:00Z", 30)))).await);

    let store = Store { store_id: Uuid::nil(), partitions: store::DEFAULT_PARTITIONS, opened_by_key_alone: false };
    let reader = log.reader(store);
    for (moment, up_to, balance, version) in [
        // Nothing counts from before; then the later entries, on an account that was opened with nothing on it.
        ("2026-01-09T23:59:59Z", i64::MAX, None, 0),
        ("2026-01-10T00:00:00Z", i64::MAX, Some(100), 3),
        ("2026-01-31T00:00:00Z", i64::MAX, Some(100), 3),
        ("2026-02-01T00:00:00Z", i64::MAX, Some(70), 4),
        ("2026-02-01T00:00:00Z", 3, Some(100), 3),
        ("2026-02-01T00:00:00Z", 2, None, 0),
        ("9999-01-01T00:00:00Z", i64::MAX, Some(120), 4),
        ("9999-01-01T00:00:00Z", 2, Some(50), 2),
    ] {
        let state = reader.effective_at(account, up_to, at(moment)).await.unwrap();
        let found = state.account.summary().map(|account| account.balance);
        assert_eq!((found, state.version), (balance, version), "{moment} up to {up_to}");
    }
    instance.end().await;
    log.end().await;
}
