//! The store as a whole: its description, the watermark of a partition, the check of the log.

use std::time::Duration;

use passbook_shared::log_check::LogCheck;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::store_description::StoreDescription;
use passbook_shared::timestamp::Timestamp;
use serde::Deserialize;

use super::{Feed, FeedError};
use crate::store::source::Source;

/// Time limit of a check, which folds whole accounts of any length.
const CHECK_TIMEOUT: Duration = Duration::from_secs(600);

impl Feed {
    /// Returns the store's description: epoch, accepted restores, forks.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn store(&self) -> Result<StoreDescription, FeedError> {
        Ok(self
            .client
            .get(self.url("v1/store", &[]))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// Advances the watermark of a partition to a moment, and returns the last position recorded by
    /// then. Returns none for a moment in the future.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn settle(
        &self,
        partition: Partition,
        moment: Timestamp,
    ) -> Result<Option<Position>, FeedError> {
        #[derive(Deserialize)]
        struct Settled {
            position: Position,
        }
        let url = self.url(&format!("v1/partitions/{partition}/settled"), &[]);
        let asked = self.client.put(url).json(&serde_json::json!({ "as_of": moment }));
        let response = asked.send().await?;
        // The request is well-formed, so only a moment in the future is refused.
        if response.status() == reqwest::StatusCode::BAD_REQUEST {
            return Ok(None);
        }
        let Settled { position } = response.error_for_status()?.json().await?;
        Ok(Some(position))
    }

    /// Runs the next part of the command-service's check of a partition.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn check(
        &self,
        partition: Partition,
        cursor: Option<&str>,
    ) -> Result<(Source, LogCheck), FeedError> {
        let asked: Vec<_> =
            cursor.map(|cursor| ("cursor", cursor.to_owned())).into_iter().collect();
        let url = self.url(&format!("v1/partitions/{partition}/check"), &asked);
        // The time limit of the client is far too short for a check.
        let (source, _, check) = self.answer(self.client.get(url).timeout(CHECK_TIMEOUT)).await?;
        Ok((source, check))
    }
}
