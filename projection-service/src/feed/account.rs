//! Events of one account.

use passbook_shared::recorded_event::RecordedEvent;
use uuid::Uuid;

use super::{Body, Feed, FeedError};

/// Number of events per page.
const PAGE: usize = 1_000;

impl Feed {
    /// Returns one page of an account's events after a version, oldest first, and whether more
    /// follow. The page is empty if the log has no such account.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn of_account(
        &self,
        account_id: Uuid,
        after: i64,
    ) -> Result<(Vec<RecordedEvent>, bool), FeedError> {
        self.account_page(account_id, after, PAGE).await
    }

    /// Returns an account's event with a version, if the log has it.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn event_of(
        &self,
        account_id: Uuid,
        version: i64,
    ) -> Result<Option<RecordedEvent>, FeedError> {
        Ok(self.account_page(account_id, version - 1, 1).await?.0.pop())
    }

    async fn account_page(
        &self,
        account_id: Uuid,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<RecordedEvent>, bool), FeedError> {
        let asked = [("after_version", after.to_string()), ("limit", limit.to_string())];
        let url = self.url(&format!("v1/accounts/{account_id}/events"), &asked);
        let response = self.client.get(url).send().await?;
        // The log answers 404 for an account that it lacks, which is no failure.
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok((Vec::new(), false));
        }
        let body: Body = response.error_for_status()?.json().await?;
        for (event, version) in body.data.iter().zip(after + 1..) {
            if event.account_id != account_id || event.version != version {
                let expected = format!("version {version} of account {account_id}");
                let found = format!("version {} of account {}", event.version, event.account_id);
                return Err(FeedError::OutOfOrder { expected, found });
            }
        }
        Ok((body.data, body.has_more))
    }
}
