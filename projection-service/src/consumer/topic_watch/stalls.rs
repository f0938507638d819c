//! Report of stalled partitions, with the most likely cause.

use std::sync::Arc;

use passbook_shared::partition::Partition;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::{TIMEOUT, Watched};
use crate::consumer::causes::{explain, holder};
use crate::consumer::client::SilentContext;
use crate::consumer::stalled::Stall;

impl Watched {
    /// Sets the readiness of the views by the stall that has lasted longest.
    pub(super) async fn report_stalls(
        &self,
        client: &Arc<BaseConsumer<SilentContext>>,
        stalls: &[Stall],
        kafka: Option<String>,
    ) -> anyhow::Result<()> {
        let Some(first) = stalls.iter().max_by_key(|stall| stall.age) else {
            self.health.ok("views");
            return Ok(());
        };
        let cause = match kafka {
            // An unreachable Kafka explains the stall and cannot name a holder.
            Some(reason) => reason,
            None => self.cause(client, first.partition).await?,
        };
        let Stall { partition, position, age } = first;
        let others = match stalls.len() - 1 {
            0 => String::new(),
            others => format!(" ({others} more partitions are stalled as well)"),
        };
        let age = age.as_secs();
        self.health.failing(
            "views",
            format!(
                "partition {partition} is stalled at position {partition}-{position}{others}: the \
                 event after it has not been applied for {age} s; {cause}"
            ),
        );
        Ok(())
    }

    /// Returns the likely cause of a stall while Kafka answers.
    async fn cause(
        &self,
        client: &Arc<BaseConsumer<SilentContext>>,
        partition: Partition,
    ) -> anyhow::Result<String> {
        // This instance holds the partition, so the group has no other explanation.
        if self.ends.causes.is_given(partition) {
            let words = self.ends.causes.last();
            return Ok(words.unwrap_or_else(|| "the other checks may say why".to_owned()));
        }
        let (asking, group, topic) =
            (Arc::clone(client), self.group.clone(), self.kafka.kafka_topic.clone());
        // The request of the Kafka client blocks.
        let holder = tokio::task::spawn_blocking(move || {
            let groups = asking.fetch_group_list(Some(&group), TIMEOUT)?;
            Ok(holder(&groups, &topic, partition))
        });
        let group = &self.group;
        Ok(match holder.await? {
            Ok(Some(holder)) => {
                format!("the member {holder} of the consumer group `{group}` holds the partition")
            }
            Ok(None) => format!("no member of the consumer group `{group}` holds the partition"),
            Err::<_, KafkaError>(error) => {
                format!("Kafka does not report who holds it: {}", explain(&error))
            }
        })
    }
}
