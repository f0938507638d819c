//! The tour with the Rust client. Usage: tour COMMAND_URL PROJECTION_URL

use passbook_command::apis::{Error, commands_api as commands, log_api as log};
use passbook_command::models::*;
use passbook_projection::apis::accounts_api as accounts;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [_, command_url, projection_url] =
        std::env::args().collect::<Vec<_>>().try_into().expect("two addresses");
    let (mut command, mut projection) = (
        passbook_command::apis::configuration::Configuration::new(),
        passbook_projection::apis::configuration::Configuration::new(),
    );
    (command.base_path, projection.base_path) = (command_url, projection_url);
    let key = std::env::var("PASSBOOK_KEY").ok();
    (command.bearer_access_token, projection.bearer_access_token) = (key.clone(), key);

    let mut opening = OpenAccountRequest::new(Currency::Eur, "tour".to_owned());
    let other = commands::open_account(&command, opening.clone(), None, None, None, None, None)
        .await?
        .account_id;
    opening.initial_deposit = Some(Some(10_000));
    let one =
        commands::open_account(&command, opening, None, None, None, None, None).await?.account_id;
    let (one_id, other_id) = (one.to_string(), other.to_string());

    let mut deposit = MovementRequest::new(2_500);
    deposit.reference = Some(Some("invoice 7".to_owned()));
    deposit.metadata = Some(Some([("order".to_owned(), "7".to_owned())].into()));
    let deposited = async || {
        commands::create_deposit(
            &command,
            &one_id,
            deposit.clone(),
            Some("\"order 7\""),
            None,
            None,
            None,
            None,
        )
        .await
    };
    let first = deposited().await?;
    assert_eq!(deposited().await?, first);
    assert_eq!(first.account.balance, 12_500);

    let transfer = TransferRequest::new(1_000, one, other);
    let sent = commands::create_transfer(&command, transfer, None, None, None, None, None).await?;
    assert_eq!(sent.to.account.balance, 1_000);
    let hold = commands::place_hold(
        &command,
        &one_id,
        HoldRequest::new(500),
        None,
        None,
        None,
        None,
        None,
    )
    .await?
    .hold;
    let (hold, capture) = (
        hold.hold_id.to_string(),
        CaptureRequest { amount: Some(Some(300)), ..CaptureRequest::new() },
    );
    let captured = commands::capture_hold(
        &command,
        &one_id,
        &hold,
        None,
        None,
        None,
        None,
        None,
        Some(capture),
    )
    .await?;
    assert_eq!(captured.hold.status, HoldStatus::Captured);

    let refused = commands::create_withdrawal(
        &command,
        &other_id,
        WithdrawalRequest::new(1_001),
        None,
        None,
        None,
        None,
        None,
    )
    .await;
    let Err(Error::ResponseError(refused)) = refused else {
        panic!("a withdrawal exceeded the balance: {refused:?}")
    };
    let problem: CreateWithdrawalProblem = serde_json::from_str(&refused.content)?;
    assert_eq!(problem.code, create_withdrawal_problem::Code::InsufficientFunds);

    let bulk = BulkRequest::new(vec![
        BulkCommand::DepositCommand(DepositCommand::new(other, 9, deposit_command::Type::Deposit)),
        BulkCommand::HoldCommand(HoldCommand::new(other, 9, hold_command::Type::Hold)),
        BulkCommand::WithdrawCommand(WithdrawCommand::new(
            other,
            9_999,
            withdraw_command::Type::Withdraw,
        )),
    ]);
    let results = commands::execute_commands(&command, bulk, None, None, None).await?.results;
    let [
        BulkResult::AccountResult(deposited),
        BulkResult::HoldResult(held),
        BulkResult::ProblemResult(refused),
    ] = &results[..]
    else {
        panic!("{results:?}")
    };
    assert_eq!((deposited.account.balance, held.hold.status), (1_009, HoldStatus::Open));
    assert_eq!(refused.code, "insufficient_funds");

    let view = accounts::get_account(
        &projection,
        &one_id,
        None,
        None,
        Some(captured.version),
        Some("wait=10"),
        None,
    )
    .await?;
    assert_eq!(view.balance, 11_200);
    let events = log::list_account_events(&command, &one_id, None, None).await?.data;
    assert_eq!(events[1].r#type, "MoneyDeposited");
    Ok(())
}
