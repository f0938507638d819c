// The tour with the TypeScript client. Usage: node tour.js COMMAND_URL PROJECTION_URL

import assert from "node:assert/strict";

import * as command from "./command/index.js";
import * as projection from "./projection/index.js";

const [commandUrl, projectionUrl] = process.argv.slice(2);
const accessToken = process.env["PASSBOOK_KEY"] ?? "";
const configuration = new command.Configuration({ basePath: commandUrl, accessToken });
const commands = new command.CommandsApi(configuration);
const log = new command.LogApi(configuration);
const accounts = new projection.AccountsApi(new projection.Configuration({ basePath: projectionUrl, accessToken }));

const open = async (initialDeposit: number) => {
  const openAccountRequest = { owner: "tour", currency: command.Currency.Eur, initialDeposit };
  return (await commands.openAccount({ openAccountRequest })).accountId;
};
const [id, other] = [await open(10_000), await open(0)];

const movementRequest = { amount: 2_500, reference: "invoice 7", metadata: { order: "7" } };
const deposit = { id, movementRequest, idempotencyKey: '"order 7"' };
const first = await commands.createDeposit(deposit);
assert.deepEqual(await commands.createDeposit(deposit), first);
assert.equal(first.account.balance, 12_500);

const sent = await commands.createTransfer({ transferRequest: { from: id, to: other, amount: 1_000 } });
assert.equal(sent.to.account.balance, 1_000);
const { hold } = await commands.placeHold({ id, holdRequest: { amount: 500 } });
const captured = await commands.captureHold({ id, holdId: hold.holdId, captureRequest: { amount: 300 } });
assert.equal(captured.hold.status, command.HoldStatus.Captured);

const withdrawal = commands.createWithdrawal({ id: other, withdrawalRequest: { amount: 1_001 } });
const error = await withdrawal.then(() => assert.fail("more was withdrawn than there is"), (error: unknown) => error);
assert(error instanceof command.ResponseError);
const problem = command.CreateWithdrawalProblemFromJSON(await error.response.json());
assert.equal(problem.code, command.CreateWithdrawalProblemCodeEnum.InsufficientFunds);

const several: command.BulkCommand[] = [
  { type: "deposit", accountId: other, amount: 9 },
  { type: "hold", accountId: other, amount: 9 },
  { type: "withdraw", accountId: other, amount: 9_999 },
];
const { results } = await commands.executeCommands({ bulkRequest: { commands: several } });
const [deposited, held, refused] = results;
assert(deposited?.result === "account" && deposited.account.balance === 1_009);
assert(held?.result === "hold" && held.hold.status === command.HoldStatus.Open);
assert(refused?.result === "problem" && refused.code === "insufficient_funds");

const view = await accounts.getAccount({ id, minVersion: captured.version, prefer: "wait=10" });
assert.equal(view.balance, 11_200);
const statement = await accounts.listEntries({ id, label: ["order:7"] });
assert.deepEqual(statement.data.map((entry) => entry.amount), [2_500]);
const events = (await log.listAccountEvents({ id })).data;
assert.deepEqual(events.slice(0, 2).map((event) => event.type), ["AccountOpened", "MoneyDeposited"]);
assert.equal(command.MoneyDepositedDataFromJSON(events[1]?.data).reference, "invoice 7");
