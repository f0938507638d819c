import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.List;
import java.util.Map;
import passbook.command.*;
import passbook.projection.AccountsApi;

/** The tour with the Java client. Usage: Tour COMMAND_URL PROJECTION_URL */
class Tour {
  static void expect(Object actual, Object expected) {
    if (!actual.equals(expected)) throw new AssertionError(actual + ", not " + expected);
  }

  public static void main(String[] urls) throws Exception {
    var client = new ApiClient();
    client.updateBaseUri(urls[0]);
    var authorization = "Bearer " + System.getenv("PASSBOOK_KEY");
    client.setRequestInterceptor(request -> request.header("Authorization", authorization));
    var commands = new CommandsApi(client);
    var views = new passbook.projection.ApiClient();
    views.updateBaseUri(urls[1]);
    views.setRequestInterceptor(request -> request.header("Authorization", authorization));
    var accounts = new AccountsApi(views);

    var opening = new OpenAccountRequest().owner("tour").currency(Currency.EUR);
    var other = commands.openAccount(opening, null, null, null, null, null).getAccountId();
    opening.initialDeposit(10_000L);
    var one = commands.openAccount(opening, null, null, null, null, null).getAccountId();

    var deposit = new MovementRequest().amount(2_500L).reference("invoice 7").metadata(Map.of("order", "7"));
    var first = commands.createDeposit(one, deposit, "\"order 7\"", null, null, null, null);
    expect(commands.createDeposit(one, deposit, "\"order 7\"", null, null, null, null), first);
    expect(first.getAccount().getBalance(), 12_500L);

    var transfer = new TransferRequest().from(one).to(other).amount(1_000L);
    var sent = commands.createTransfer(transfer, null, null, null, null, null);
    expect(sent.getTo().getAccount().getBalance(), 1_000L);
    var hold = commands.placeHold(one, new HoldRequest().amount(500L), null, null, null, null, null).getHold();
    var capture = new CaptureRequest().amount(300L);
    var captured = commands.captureHold(one, hold.getHoldId(), null, null, null, null, null, capture);
    expect(captured.getHold().getStatus(), HoldStatus.CAPTURED);

    try {
      commands.createWithdrawal(other, new WithdrawalRequest().amount(1_001L), null, null, null, null, null);
      throw new AssertionError("a withdrawal exceeded the balance");
    } catch (ApiException refused) {
      var problem = JsonMapper.builder().build().readValue(refused.getResponseBody(), CreateWithdrawalProblem.class);
      expect(problem.getCode(), CreateWithdrawalProblem.CodeEnum.INSUFFICIENT_FUNDS);
    }

    var bulk = new BulkRequest().commands(List.of(
        new BulkCommand(new DepositCommand().type(DepositCommand.TypeEnum.DEPOSIT).accountId(other).amount(9L)),
        new BulkCommand(new HoldCommand().type(HoldCommand.TypeEnum.HOLD).accountId(other).amount(9L)),
        new BulkCommand(new WithdrawCommand().type(WithdrawCommand.TypeEnum.WITHDRAW).accountId(other).amount(9_999L))));
    var results = commands.executeCommands(bulk, null, null, null).getResults();
    expect(results.get(0).getAccountResult().getAccount().getBalance(), 1_009L);
    expect(results.get(1).getHoldResult().getHold().getStatus(), HoldStatus.OPEN);
    expect(results.get(2).getProblemResult().getCode(), "insufficient_funds");

    var view = accounts.getAccount(one, null, null, captured.getVersion(), "wait=10", null);
    expect(view.getBalance(), 11_200L);
    var statement =
        accounts.listEntries(one, null, null, null, null, null, null, null, null, List.of("order:7"), null);
    expect(statement.getData().size(), 1);
    expect(statement.getData().get(0).getAmount(), 2_500L);
    var events = new LogApi(client).listAccountEvents(one, null, null).getData();
    expect(events.get(1).getType(), "MoneyDeposited");
    var data = JsonMapper.builder().findAndAddModules().build().convertValue(events.get(1).getData(), MoneyDepositedData.class);
    expect(data.getReference(), "invoice 7");
  }
}
