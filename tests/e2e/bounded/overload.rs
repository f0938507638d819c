//! Clients beyond the capacity of the command-service.

use super::*;

/// Number of clients that use the whole capacity, each with one request at a time.
const CLIENTS: usize = 64;
/// Number of clients as a multiple of these.
const OVERLOAD: usize = 10;
const TIME: Duration = Duration::from_secs(3);
/// Attempts, because other programs take a varying share of the machine.
const TRIES: usize = 4;
/// Maximum growth of the service's memory, in MiB: 200 KiB for each connection.
const MEMORY: u64 = 128;

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_clients_leave_nine_tenths_of_the_rate() -> anyhow::Result<()> {
    let environment = Environment::new("overload").await?;
    let service = environment.command("command").await?;
    let client = service.client()?;
    deposits(&client, CLIENTS).await?;
    let peak = Peak::of(&service)?;
    let mut best = 0;
    for _ in 0..TRIES {
        let before = deposits(&client, CLIENTS).await?;
        let overloaded = deposits(&client, OVERLOAD * CLIENTS).await?;
        let alone = (before + deposits(&client, CLIENTS).await?) / 2;
        best = best.max(overloaded * 100 / alone.max(1));
        eprintln!(
            "figure: deposits of {} clients: {overloaded}; of {CLIENTS}: {alone}; {} MiB added",
            OVERLOAD * CLIENTS,
            peak.added()
        );
        if best >= 90 {
            break;
        }
    }
    ensure!(best >= 90, "{best} %");
    ensure!(peak.added() <= MEMORY, "{} MiB", peak.added());
    Ok(())
}

/// Returns the number of deposits that the clients make in [`TIME`].
async fn deposits(client: &Client, clients: usize) -> anyhow::Result<u64> {
    let account = client.open().await?;
    let (start, mut running) = (Instant::now(), JoinSet::new());
    for _ in 0..clients {
        let client = client.clone();
        running.spawn(async move {
            let mut done = 0;
            while start.elapsed() < TIME {
                client.deposit(account, None, 1).await?;
                // The last answers come after the end.
                done += u64::from(start.elapsed() < TIME);
            }
            anyhow::Ok(done)
        });
    }
    running.join_all().await.into_iter().sum()
}
