//! States of accounts, now and in the past.

use passbook_shared::partition::partition_of;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::LogReader;
use crate::log::effective::effective_at;
use crate::log::in_time;
use crate::log::load::{LoadError, Wanted, state_at};
use crate::log::loaded::Loaded;

impl LogReader {
    /// Returns the account at a version, or at its newest one if that is smaller. Version 0 means
    /// that the account does not exist.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn state(&self, account_id: Uuid, version: i64) -> Result<Loaded, LoadError> {
        let partition = partition_of(account_id, self.store.partitions);
        let wanted = Wanted { partition, account_id, version };
        let load =
            async { state_at(&mut *self.pool.acquire().await?, wanted, &self.snapshots).await };
        in_time(load).await
    }

    /// Returns the account by effective time at `moment`, from its events up to `version`. Version
    /// 0 means that it has no such entries.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn effective_at(
        &self,
        account_id: Uuid,
        version: i64,
        moment: Timestamp,
    ) -> Result<Loaded, LoadError> {
        let recorded = self.version_at(account_id, moment).await?;
        let wanted = Wanted {
            partition: partition_of(account_id, self.store.partitions),
            account_id,
            version,
        };
        let load = async {
            effective_at(
                &mut *self.pool.acquire().await?,
                wanted,
                recorded,
                moment,
                &self.snapshots,
            )
            .await
        };
        in_time(load).await
    }

    /// Returns the version of the account recorded at `moment`; 0 if it was not open yet.
    pub async fn version_at(
        &self,
        account_id: Uuid,
        moment: Timestamp,
    ) -> Result<i64, sqlx::Error> {
        // The function excludes its bound, and timestamps are whole microseconds.
        let sql = "SELECT passbook.last_version_before($1, $2, $3 + interval '1 microsecond')";
        let partition = partition_of(account_id, self.store.partitions);
        in_time(
            sqlx::query_scalar(sql)
                .bind(partition)
                .bind(account_id)
                .bind(moment)
                .fetch_one(&self.pool),
        )
        .await
    }
}
