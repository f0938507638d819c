//! Expiry of holds by events of their own, including holds that expired while the service was down.
//! The decider ensures a single event: a hold that has ended cannot expire.

#[cfg(test)]
mod tests;

use passbook_shared::access::Reach;
use passbook_shared::recorded_event::CommandContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::Command;
use crate::domain::command::Expire;
use crate::lanes::Lanes;
use crate::log::in_time;
use crate::log::past::{DueHold, due_holds};
use crate::metrics;
use crate::outcome::{CommandResult, Outcome};
use crate::request::CommandRequest;

const PAGE: usize = 1_000;
/// Actor of the command in the events' metadata.
const ACTOR: &str = "passbook";

/// Expires all due holds. A hold that cannot be expired stays due and does not block the others.
pub(super) async fn expire_due(connection: &mut PgConnection, lanes: &Lanes) -> sqlx::Result<()> {
    let mut last = None;
    loop {
        let due = in_time(due_holds(&mut *connection, last, PAGE)).await?;
        let commands = due.iter().map(expire).collect();
        let results = lanes.submit_each(commands).await;
        metrics::holds_expired(results.iter().filter(|result| has_expired(result)).count());
        if due.len() < PAGE {
            return Ok(());
        }
        // Continues after the page, because a hold that could not be expired is still due.
        last = due.last().copied();
    }
}

/// False if the hold has ended in another way, or could not be expired.
fn has_expired(result: &CommandResult) -> bool {
    matches!(result, Ok(Outcome::Accepted { own, .. }) if !own.events.is_empty())
}

fn expire(hold: &DueHold) -> CommandRequest {
    CommandRequest {
        account_id: hold.account_id,
        command: Command::Expire(Expire { hold_id: hold.hold_id }),
        reach: Reach::default(),
        expected_versions: None,
        dry_run: false,
        command_id: Uuid::now_v7(),
        context: CommandContext { actor: Some(ACTOR.to_owned()), ..CommandContext::default() },
    }
}
