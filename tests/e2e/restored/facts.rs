//! Log and topic as an outside observer reads them. By the rules of the topic, a follower must
//! arrive at the log.

mod topic;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use passbook_shared::partition::Partition;
use passbook_shared::store_description::StoreDescription;
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::topic::{Record, Topic};
use crate::client::Client;
use crate::environment::Environment;
use crate::infrastructure::PARTITIONS;
use crate::process::eventually_every;

/// Pause between two looks. Each reads the whole log, while commands are executed.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Facts {
    connection: PgConnection,
    topic: Topic,
    /// Log of the last search for forks.
    compared: Vec<Vec<Uuid>>,
}

impl Facts {
    pub(super) async fn of(environment: &Environment) -> anyhow::Result<Self> {
        let connection = PgConnection::connect(&environment.database_url).await?;
        Ok(Self { connection, topic: Topic::of(environment)?, compared: Vec::new() })
    }

    pub(super) async fn store(client: &Client) -> anyhow::Result<StoreDescription> {
        Ok(serde_json::from_value(client.json("/v1/store").await?)?)
    }

    /// Returns the event ids of the log, by partition.
    async fn log(&mut self) -> anyhow::Result<Vec<Vec<Uuid>>> {
        let sql = "SELECT partition, position, event_id FROM passbook.events
                    ORDER BY partition, position";
        let rows: Vec<(Partition, i64, Uuid)> =
            sqlx::query_as(sql).fetch_all(&mut self.connection).await?;
        let mut log = vec![Vec::new(); PARTITIONS.get().into()];
        for (partition, position, event_id) in rows {
            let events = &mut log[partition.index()];
            events.push(event_id);
            let expected = i64::try_from(events.len())?;
            ensure!(position == expected, "{partition}-{position}, not {partition}-{expected}");
        }
        let sql = "SELECT count(*) FROM (
                       SELECT version, row_number() OVER (PARTITION BY account_id ORDER BY version)
                           AS n FROM passbook.events) AS e WHERE version <> n";
        let gaps: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        ensure!(gaps == 0, "versions are not dense");
        Ok(log)
    }

    /// Returns the partitions in which the topic has an event that the log lacks. Events given up
    /// by a restore that the store knows do not count.
    pub(super) async fn forked(&mut self, client: &Client) -> anyhow::Result<BTreeSet<Partition>> {
        // The topic first: it is never ahead of a log that was not restored.
        self.topic.read().await?;
        let (store, log) = (Self::store(client).await?, self.log().await?);
        let mut forked = BTreeSet::new();
        for ((partition, records), log) in PARTITIONS.all().zip(&self.topic.records).zip(&log) {
            let restores = store.restores_of(partition);
            let is_fork = |&(epoch, position, event): &Record| {
                let in_log = usize::try_from(position - 1).ok().and_then(|index| log.get(index));
                !restores.voided(epoch, position) && (epoch > store.epoch || in_log != Some(&event))
            };
            if records.iter().any(is_fork) {
                forked.insert(partition);
            }
        }
        self.compared = log;
        Ok(forked)
    }

    /// Describes a partition as last compared: the records that contradict the log with those near
    /// them, and the last ones.
    pub(super) fn describe(&self, partition: Partition, store: &StoreDescription) -> String {
        let index = partition.index();
        let (restores, log) = (store.restores_of(partition), &self.compared[index]);
        let records = &self.topic.records[index];
        let state = |&(epoch, position, event): &Record| {
            let in_log = usize::try_from(position - 1).ok().and_then(|index| log.get(index));
            match in_log {
                _ if restores.voided(epoch, position) => "given up",
                _ if epoch > store.epoch => "OF A LATER EPOCH",
                Some(id) if *id == event => "in the log",
                Some(_) => "NOT THE LOG'S",
                None => "BEYOND THE LOG",
            }
        };
        let is_odd = |record: &Record| state(record).starts_with(char::is_uppercase);
        let mut described =
            format!("epoch {}; the log ends at {}; the topic:", store.epoch, log.len());
        for (offset, record) in records.iter().enumerate() {
            let near = &records[offset.saturating_sub(4)..records.len().min(offset + 4)];
            if near.iter().any(is_odd) || offset + 8 > records.len() {
                let (epoch, position, event) = record;
                let state = state(record);
                described += &format!("\n{offset}: epoch {epoch}, {position}, {event}: {state}");
            }
        }
        described
    }

    /// Waits until a reader of the whole topic has all events that the log has now. The reader
    /// applies only the next position, and skips what a restore gave up.
    pub(super) async fn until_followed(&mut self, client: &Client) -> anyhow::Result<()> {
        let due: Vec<usize> = self.log().await?.iter().map(Vec::len).collect();
        let this = Mutex::new(self);
        eventually_every(PAUSE, "the topic leads to the log", async || {
            let mut this = this.lock().await;
            this.topic.read().await?;
            let (store, log) = (Self::store(client).await?, this.log().await?);
            let partitions = PARTITIONS.all().zip(&this.topic.records).zip(log.iter().zip(&due));
            for ((partition, records), (log, due)) in partitions {
                let restores = store.restores_of(partition);
                let mut followed = Vec::new();
                for &(epoch, position, event) in records {
                    let is_next = usize::try_from(position)? == followed.len() + 1;
                    if is_next && !restores.voided(epoch, position) {
                        followed.push(event);
                    }
                }
                ensure!(
                    log.starts_with(&followed),
                    "partition {partition} leads to another log: {store:?}"
                );
                let count = followed.len();
                ensure!(count >= *due, "partition {partition} leads to {count} of {due}");
            }
            Ok(())
        })
        .await
    }
}
