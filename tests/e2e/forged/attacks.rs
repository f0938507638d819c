//! Records of an attacker who can write to the topic and read it, and does not know its key.

use anyhow::Context;
use passbook_shared::cloud_event;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::topic_record::authentication::{MAC, Signed, TopicKeys};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use uuid::Uuid;

use super::forger::{Forger, deposit};
use crate::infrastructure::PARTITIONS;

/// Number of records that are no events, of each kind of MAC.
const GARBAGE: u32 = 1_000;

/// Attack on the partition of an account.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attack {
    Next,
    Ahead,
    EndOfNumbers,
    ForeignStore,
    LaterEpoch,
    Garbage,
    /// A genuine record, once more.
    Replayed,
    /// A genuine record in another partition.
    Moved,
}

impl Attack {
    pub(super) const ALL: [Self; 8] = [
        Self::Next,
        Self::Ahead,
        Self::EndOfNumbers,
        Self::ForeignStore,
        Self::LaterEpoch,
        Self::Garbage,
        Self::Replayed,
        Self::Moved,
    ];

    /// Returns the number of records that are not authentic.
    pub(super) fn unauthentic(self) -> u64 {
        match self {
            Self::Next
            | Self::Ahead
            | Self::EndOfNumbers
            | Self::ForeignStore
            | Self::LaterEpoch => 3,
            Self::Garbage => 3 * u64::from(GARBAGE),
            Self::Replayed => 0,
            Self::Moved => 1,
        }
    }

    /// Returns the number of authentic records that were in the topic before.
    pub(super) fn repeated(self) -> u64 {
        u64::from(matches!(self, Self::Replayed))
    }

    /// Writes the records of the attack, after the log's newest event of the partition.
    pub(super) async fn write(self, forger: &Forger, last: &RecordedEvent) -> anyhow::Result<()> {
        let partition = last.position.partition;
        let genuine = forger.read(partition, 0).await?;
        let store = forger.store;
        let forged = async |event: &RecordedEvent, store, epoch| {
            let mut document = Vec::new();
            cloud_event::encode(event, store, epoch, &mut document)?;
            forge(forger, partition, &document, &genuine).await
        };
        match self {
            Self::Next => forged(&deposit(last, 1, 777), store, 0).await,
            Self::Ahead => forged(&deposit(last, 5, 777), store, 0).await,
            Self::EndOfNumbers => {
                let event = deposit(last, 1, 777);
                let position = Position { number: i64::MAX, ..event.position };
                forged(&RecordedEvent { position, ..event }, store, 0).await
            }
            Self::ForeignStore => forged(&deposit(last, 1, 777), Uuid::new_v4(), 0).await,
            Self::LaterEpoch => forged(&deposit(last, 1, 777), store, 1).await,
            Self::Garbage => {
                let writes = (0..GARBAGE).map(|n| {
                    let garbage = n.to_be_bytes();
                    let genuine = &genuine;
                    async move { forge(forger, partition, &garbage, genuine).await }
                });
                futures_util::future::try_join_all(writes).await.map(drop)
            }
            Self::Replayed => copy(forger, partition, &genuine).await,
            Self::Moved => {
                let other = PARTITIONS.all().find(|other| *other != partition);
                copy(forger, other.context("one partition")?, &genuine).await
            }
        }
    }
}

/// Writes a document without a MAC, with a MAC of another key, and with the MAC of a genuine
/// record.
async fn forge(
    forger: &Forger,
    partition: Partition,
    document: &[u8],
    genuine: &OwnedMessage,
) -> anyhow::Result<()> {
    let key = genuine.key().context("no key")?;
    forger.write_with(partition, key, document, OwnedHeaders::new()).await?;
    let own = TopicKeys::new(["the attacker's own key"]);
    let own = own.sign(Signed { partition, key, value: document }).context("no key")?;
    let headers = OwnedHeaders::new().insert(Header { key: MAC, value: Some(&own) });
    forger.write_with(partition, key, document, headers).await?;
    let headers = genuine.headers().context("no headers")?.clone();
    forger.write_with(partition, key, document, headers).await
}

/// Writes a copy of a genuine record.
async fn copy(forger: &Forger, partition: Partition, genuine: &OwnedMessage) -> anyhow::Result<()> {
    let headers = genuine.headers().context("no headers")?;
    anyhow::ensure!(headers.iter().any(|header| header.key == MAC), "the relay does not sign");
    let (key, value) = (genuine.key().unwrap_or_default(), genuine.payload().unwrap_or_default());
    forger.write_with(partition, key, value, headers.clone()).await
}
