//! Quotas of tenants, before the commands of a request are submitted.

use std::collections::HashSet;

use passbook_shared::http::gate::Holder;
use passbook_shared::http::problem::Problem;
use uuid::Uuid;

use super::AppState;
use crate::quotas::Exceeded;
use crate::request::CommandRequest;

impl AppState {
    /// Checks the quotas of the tenants in whose accounts a request opens something. A command that
    /// was executed before opens nothing, whatever the quota is now.
    ///
    /// # Errors
    /// The first quota that a command exceeds; 503 if the log cannot be read.
    pub(super) async fn check_quotas(
        &self,
        requests: &[CommandRequest],
    ) -> Result<Result<(), Exceeded>, Problem> {
        if self.quotas.check(requests, |_| false).is_ok() {
            return Ok(Ok(()));
        }
        // Only here, because the lanes look up keys anyway.
        let sender = requests.first().and_then(CommandRequest::principal);
        let holder = Holder(sender.unwrap_or_default().into());
        let reading = self.log.executed(requests);
        let executed: HashSet<Uuid> = self.read_turns.wait_for(&holder, reading).await??;
        Ok(self.quotas.check(requests, |request| executed.contains(&request.command_id)))
    }
}
