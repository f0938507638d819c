//! Check at the start that Kafka and the client accept each other. A wrong certificate or password
//! would otherwise look like a Kafka that is away for a while.

use std::time::Duration;

use anyhow::bail;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::producer::{BaseProducer, Producer};
use tokio::sync::oneshot;

use super::{BrokerErrors, KafkaConfig};
use crate::shutdown::CancellationToken;

/// Interval in which events of the client are handled.
const POLL: Duration = Duration::from_millis(50);
/// Time limit of one request to Kafka.
const TIMEOUT: Duration = Duration::from_secs(2);

impl KafkaConfig {
    /// Waits until a broker and the client have accepted each other, then until the shutdown. An
    /// unreachable Kafka is waited for.
    ///
    /// # Errors
    /// All brokers refuse the client's certificate, password or token, or the client refuses the
    /// certificates of all brokers.
    pub async fn accepted(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let (first, is_first) = oneshot::channel();
        let begin = || first.send(()).unwrap_or_default();
        let kept = self.keep_tokens(&shutdown, begin);
        let accepted = async {
            // Without a token, the check could not connect.
            if is_first.await.is_ok() && self.is_protected() {
                let (kafka, until) = (self.clone(), shutdown.clone());
                tokio::task::spawn_blocking(move || kafka.wait_for_acceptance(&until)).await??;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(kept, accepted)?;
        shutdown.cancelled().await;
        Ok(())
    }

    /// Returns true if connections to Kafka are encrypted or authenticated.
    fn is_protected(&self) -> bool {
        self.option("security.protocol")
            .is_some_and(|protocol| !protocol.trim().eq_ignore_ascii_case("plaintext"))
    }

    fn wait_for_acceptance(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let mut config = self.client("passbook-start");
        // The errors are returned, and readiness has those of other clients.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let producer: BaseProducer<BrokerErrors> = config
            .create_with_context(BrokerErrors::new(self))
            .map_err(|error| self.refused(&error))?;
        self.authorize(producer.client());
        while !shutdown.is_cancelled() {
            producer.poll(POLL);
            if producer.client().fetch_metadata(None, TIMEOUT).is_ok() {
                return Ok(());
            }
            producer.poll(POLL);
            if let Some(reason) = producer.context().all_refuse() {
                bail!(
                    "KAFKA_OPTIONS or KAFKA_OPTIONS_FILE: Kafka and this service do not accept \
                     each other: {}",
                    self.redacted(&reason)
                );
            }
        }
        Ok(())
    }
}
