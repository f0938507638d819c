//! Accounts of a load.

use std::net::SocketAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::load::{BULK, Connection};

/// Connections that open accounts.
const OPENERS: usize = 16;

/// Opens `count` accounts with `deposit` minor units each.
pub(crate) async fn open_accounts(
    addr: SocketAddr,
    count: usize,
    deposit: i64,
) -> anyhow::Result<Arc<[Uuid]>> {
    let accounts: Arc<[Uuid]> = (0..count).map(|_| Uuid::new_v4()).collect();
    let mut tasks = Vec::new();
    for some in accounts.chunks(count.div_ceil(OPENERS)) {
        let some = some.to_vec();
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(addr).await?;
            for accounts in some.chunks(BULK) {
                let openings = accounts.iter().map(|account| {
                    serde_json::json!({
                        "type": "open",
                        "account_id": account,
                        "owner": "bench",
                        "currency": "EUR",
                        "initial_deposit": deposit,
                    })
                });
                connection.bulk(openings.collect()).await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(accounts)
}
