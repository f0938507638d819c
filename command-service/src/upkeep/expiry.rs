//! Holds whose time is over end by an event of their own, also those whose time came while the service was down. That it is
//! exactly one event is the decider's doing: a hold that has ended can't expire.

use passbook_shared::recorded_event::CommandContext;
use passbook_shared::timestamp::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::Command;
use crate::domain::command::Expire;
use crate::lanes::{CommandRequest, Lanes};
use crate::log::past::{DueHold, due_holds};
use crate::metrics;

const PAGE: usize = 1_000;
/// Who has sent the command, as the events' metadata name it.
const ACTOR: &str = "passbook";

/// Expires all holds that are due. One that can't be does not keep the others from it: it stays due.
pub(super) async fn expire_due(connection: &mut PgConnection, lanes: &Lanes) -> sqlx::Result<()> {
    let now = Timestamp::now();
    let mut last = None;
    loop {
        let due = due_holds(&mut *connection, now, last, PAGE).await?;
        let commands = due.iter().map(expire).collect();
        let results = lanes.submit_each(commands).await;
        metrics::holds_expired(results.iter().filter(|result| result.is_ok()).count());
        if due.len() < PAGE {
            return Ok(());
        }
        last = due.last().copied();
    }
}

fn expire(hold: &DueHold) -> CommandRequest {
    CommandRequest {
        account_id: hold.account_id,
        command: Command::Expire(Expire { hold_id: hold.hold_id }),
        expected_version: None,
        dry_run: false,
        command_id: Uuid::now_v7(),
        context: CommandContext { actor: Some(ACTOR.to_owned()), ..CommandContext::default() },
    }
}
