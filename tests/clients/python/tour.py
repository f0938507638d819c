"""The tour with the Python client. Usage: tour.py COMMAND_URL PROJECTION_URL"""

import os
import sys

import passbook_command as command
import passbook_projection as projection

command_url, projection_url = sys.argv[1:]
key = {"access_token": os.environ["PASSBOOK_KEY"]}
commands = command.CommandsApi(command.ApiClient(command.Configuration(host=command_url, **key)))
log = command.LogApi(commands.api_client)
accounts = projection.AccountsApi(projection.ApiClient(projection.Configuration(host=projection_url, **key)))

opening = {"owner": "tour", "currency": command.Currency.EUR}
one = commands.open_account(command.OpenAccountRequest(**opening, initial_deposit=10_000)).account_id
other = commands.open_account(command.OpenAccountRequest(**opening)).account_id

deposit = command.MovementRequest(amount=2_500, reference="invoice 7", metadata={"order": "7"})
first = commands.create_deposit(one, deposit, idempotency_key='"order 7"')
again = commands.create_deposit(one, deposit, idempotency_key='"order 7"')
assert first == again and first.account.balance == 12_500, again

sent = commands.create_transfer(command.TransferRequest(var_from=one, to=other, amount=1_000))
assert sent.to.account.balance == 1_000, sent
hold = commands.place_hold(one, command.HoldRequest(amount=500)).hold
captured = commands.capture_hold(one, hold.hold_id, capture_request=command.CaptureRequest(amount=300))
assert captured.hold.status == command.HoldStatus.CAPTURED, captured

try:
    commands.create_withdrawal(other, command.WithdrawalRequest(amount=1_001))
    raise SystemExit("a withdrawal exceeded the balance")
except command.ApiException as refused:
    assert refused.status == 422 and refused.data.code == "insufficient_funds", refused.data

bulk = command.BulkRequest(commands=[
    command.BulkCommand(command.DepositCommand(type="deposit", account_id=other, amount=9)),
    command.BulkCommand(command.HoldCommand(type="hold", account_id=other, amount=9)),
    command.BulkCommand(command.WithdrawCommand(type="withdraw", account_id=other, amount=9_999)),
])
deposited, held, refused = (result.actual_instance for result in commands.execute_commands(bulk).results)
assert isinstance(deposited, command.AccountResult) and deposited.account.balance == 1_009, deposited
assert isinstance(held, command.HoldResult) and held.hold.status == command.HoldStatus.OPEN, held
assert isinstance(refused, command.ProblemResult) and refused.code == "insufficient_funds", refused

view = accounts.get_account(one, min_version=captured.version, prefer="wait=10")
assert view.balance == captured.account.balance == 11_200, view
statement = accounts.list_entries(one, label=["order:7"])
assert [entry.amount for entry in statement.data] == [2_500], statement
events = log.list_account_events(one).data
assert [event.type for event in events][:2] == ["AccountOpened", "MoneyDeposited"], events
assert command.MoneyDepositedData.from_dict(events[1].data).reference == "invoice 7", events
