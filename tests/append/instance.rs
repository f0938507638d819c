//! Instances of the service without HTTP and Kafka.

use command_service::domain::Command;
use command_service::lanes::Lanes;
use command_service::outcome::CommandResult;
use command_service::request::CommandRequest;
use passbook_shared::shutdown::Tasks;
use uuid::Uuid;

use crate::requests::{accepted, money, opening, request};

/// Lanes and snapshots of one instance.
pub(crate) struct Instance {
    pub(crate) lanes: Lanes,
    pub(crate) tasks: Tasks,
}

impl Instance {
    pub(crate) async fn send(&self, request: CommandRequest) -> CommandResult {
        self.lanes.submit(request).await
    }

    pub(crate) async fn open(&self) -> Uuid {
        let account = Uuid::new_v4();
        accepted(self.send(request(account, opening())).await);
        account
    }

    /// Opens `count` accounts with `amount` on each.
    pub(crate) async fn open_with(&self, count: usize, amount: i64) -> Vec<Uuid> {
        let mut accounts = Vec::new();
        for _ in 0..count {
            let account = self.open().await;
            accepted(self.send(request(account, Command::Deposit(money(amount)))).await);
            accounts.push(account);
        }
        accounts
    }

    pub(crate) async fn end(self) {
        let Self { lanes, tasks } = self;
        tasks.shutdown().cancel();
        drop(lanes);
        tasks.wait().await.unwrap();
    }
}
