// The tour with the Go client. Usage: tour COMMAND_URL PROJECTION_URL
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"reflect"

	"passbook/tour/command"
	"passbook/tour/projection"
)

// Ends the tour unless both values are equal.
func expect(actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		log.Panicf("%v, not %v", actual, expected)
	}
}

func must[T any](value T, _ any, err error) T {
	if err != nil {
		log.Panic(err)
	}
	return value
}

func main() {
	ctx := context.WithValue(context.Background(), command.ContextAccessToken, os.Getenv("PASSBOOK_KEY"))
	viewsCtx := context.WithValue(ctx, projection.ContextAccessToken, os.Getenv("PASSBOOK_KEY"))
	configuration := command.NewConfiguration()
	configuration.Servers[0].URL = os.Args[1]
	service := command.NewAPIClient(configuration)
	views := projection.NewConfiguration()
	views.Servers[0].URL = os.Args[2]
	accounts := projection.NewAPIClient(views).AccountsAPI
	commands := service.CommandsAPI

	opening := command.NewOpenAccountRequest(command.CURRENCY_EUR, "tour")
	other := must(commands.OpenAccount(ctx).OpenAccountRequest(*opening).Execute()).AccountId
	opening.SetInitialDeposit(10_000)
	one := must(commands.OpenAccount(ctx).OpenAccountRequest(*opening).Execute()).AccountId

	deposit := command.NewMovementRequest(2_500)
	deposit.SetReference("invoice 7")
	deposit.SetMetadata(map[string]string{"order": "7"})
	deposits := commands.CreateDeposit(ctx, one).MovementRequest(*deposit).IdempotencyKey(`"order 7"`)
	first, again := must(deposits.Execute()), must(deposits.Execute())
	expect(again, first)
	expect(first.Account.Balance, int64(12_500))

	transfer := command.NewTransferRequest(1_000, one, other)
	expect(must(commands.CreateTransfer(ctx).TransferRequest(*transfer).Execute()).To.Account.Balance, int64(1_000))
	hold := must(commands.PlaceHold(ctx, one).HoldRequest(*command.NewHoldRequest(500)).Execute()).Hold
	capture := command.NewCaptureRequest()
	capture.SetAmount(300)
	captured := must(commands.CaptureHold(ctx, one, hold.HoldId).CaptureRequest(*capture).Execute())
	expect(captured.Hold.Status, command.HOLDSTATUS_CAPTURED)

	_, _, err := commands.CreateWithdrawal(ctx, other).WithdrawalRequest(*command.NewWithdrawalRequest(1_001)).Execute()
	var refused *command.GenericOpenAPIError
	if !errors.As(err, &refused) {
		log.Panicf("more was withdrawn than there is: %v", err)
	}
	expect(refused.Model().(command.CreateWithdrawalProblem).Code, "insufficient_funds")

	bulk := command.NewBulkRequest([]command.BulkCommand{
		command.DepositCommandAsBulkCommand(command.NewDepositCommand(other, 9, "deposit")),
		command.HoldCommandAsBulkCommand(command.NewHoldCommand(other, 9, "hold")),
		command.WithdrawCommandAsBulkCommand(command.NewWithdrawCommand(other, 9_999, "withdraw")),
	})
	results := must(commands.ExecuteCommands(ctx).BulkRequest(*bulk).Execute()).Results
	expect(results[0].AccountResult.Account.Balance, int64(1_009))
	expect(results[1].HoldResult.Hold.Status, command.HOLDSTATUS_OPEN)
	expect(results[2].ProblemResult.Code, "insufficient_funds")

	view := must(accounts.GetAccount(viewsCtx, one).MinVersion(captured.Version).Prefer("wait=10").Execute())
	expect(view.Balance, int64(11_200))
	statement := must(accounts.ListEntries(viewsCtx, one).Label([]string{"order:7"}).Execute())
	expect(len(statement.Data), 1)
	expect(statement.Data[0].Amount, int64(2_500))
	events := must(service.LogAPI.ListAccountEvents(ctx, one).Execute()).Data
	expect(events[1].Type, "MoneyDeposited")
	expect(events[1].Data["reference"], "invoice 7")
}
