//! Readers of the log and of states while clients deposit.

use std::sync::atomic::AtomicBool;

use passbook_shared::partition::{Partition, partition_of};

use super::*;
use crate::infrastructure::PARTITIONS;

const READERS: usize = 32;
const TIME: Duration = Duration::from_millis(1_500);
/// Attempts, because other programs take a varying share of the machine.
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn greedy_readers_leave_deposits_half_their_rate() -> anyhow::Result<()> {
    let environment = Environment::new("fairness").await?;
    let service = environment.command("command").await?;
    let client = service.client()?;
    let account = full_partition(&client).await?;
    deposits(&client).await?;
    for kind in ["/v1/events", "PUT /settled", "?as_of="] {
        let mut best = 0;
        for _ in 0..TRIES {
            best = best.max(percent_left(&service, kind, account).await?);
            if best >= 50 {
                break;
            }
        }
        ensure!(best >= 50, "{kind}: {best} %");
    }
    Ok(())
}

/// Returns the rate of deposits with readers, in percent of the rates without them before and
/// after.
async fn percent_left(service: &Service, kind: &'static str, account: Uuid) -> anyhow::Result<u64> {
    let client = service.client()?;
    let before = deposits(&client).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(greedy(service.client()?, kind, account, Arc::clone(&stop)));
    }
    sleep(Duration::from_millis(300)).await;
    let with_readers = deposits(&client).await?;
    stop.store(true, Ordering::Relaxed);
    let bytes: usize = readers.join_all().await.iter().sum();
    let alone = (before + deposits(&client).await?) / 2;
    let percent = with_readers * 100 / alone.max(1);
    eprintln!(
        "figure: deposits with {READERS} readers of {kind}: {with_readers} of {alone}, {percent} \
        %; {bytes} bytes read"
    );
    ensure!(bytes > 0, "no reader read anything");
    Ok(percent)
}

/// Reads until `stop` is set, and returns the number of bytes.
async fn greedy(client: Client, kind: &'static str, account: Uuid, stop: Arc<AtomicBool>) -> usize {
    let partition = partition_of(account, PARTITIONS);
    let mut bytes = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut response) = read(&client, kind, partition, account).await else { continue };
        while !stop.load(Ordering::Relaxed)
            && let Ok(Some(chunk)) = response.chunk().await
        {
            bytes += chunk.len();
        }
    }
    bytes
}

async fn read(
    client: &Client,
    kind: &str,
    partition: Partition,
    account: Uuid,
) -> anyhow::Result<reqwest::Response> {
    let now = passbook_shared::timestamp::Timestamp::now();
    let response = match kind {
        "PUT /settled" => {
            let path = format!("/v1/partitions/{partition}/settled");
            client.request(reqwest::Method::PUT, &path).json(&json!({"as_of": now})).send().await?
        }
        "?as_of=" => client.get(&format!("/v1/accounts/{account}/state?as_of={now}")).await?,
        _ => client.get(&format!("/v1/events?partition={partition}&limit=5000")).await?,
    };
    Ok(response.error_for_status()?)
}

/// Returns the number of deposits that 8 clients make in [`TIME`].
async fn deposits(client: &Client) -> anyhow::Result<u64> {
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        clients.spawn(async move {
            let account = client.open().await?;
            let (until, mut done) = (Instant::now() + TIME, 0);
            while Instant::now() < until {
                client.deposit(account, None, 1).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    clients.join_all().await.into_iter().sum()
}
