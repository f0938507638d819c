//! Errors of the Kafka client, by broker.

use std::collections::BTreeMap;
use std::error::Error;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::KafkaConfig;

/// Context of a client that remembers the last error of each broker, and logs nothing.
#[derive(Debug)]
pub struct BrokerErrors {
    kafka: KafkaConfig,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Reason of each broker, and true if the reason is a refusal.
    by_broker: BTreeMap<String, (bool, String)>,
    /// True if no broker could be used.
    all_down: bool,
}

impl BrokerErrors {
    /// Creates a context without errors.
    pub fn new(kafka: &KafkaConfig) -> Self {
        Self { kafka: kafka.clone(), seen: Mutex::default() }
    }

    /// Returns the last error of a broker, if there was one.
    pub fn any(&self) -> Option<String> {
        self.seen.lock().by_broker.values().next().map(|(_, reason)| reason.clone())
    }

    /// Returns the reason of a broker if all brokers and the client refuse each other.
    pub(super) fn all_refuse(&self) -> Option<String> {
        let seen = self.seen.lock();
        let all = seen.all_down && seen.by_broker.values().all(|(is_refusal, _)| *is_refusal);
        seen.by_broker.values().next().filter(|_| all).map(|(_, reason)| reason.clone())
    }
}

impl ClientContext for BrokerErrors {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.kafka.token()
    }

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let is_refusal = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.seen.lock().all_down = true;
                return;
            }
            Some(
                RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::UnsupportedSASLMechanism,
            ) => true,
            _ => false,
        };
        // The reason begins with the broker, as in `ssl://10.0.0.1:9093/bootstrap: …`.
        let broker = reason.split_once(": ").map_or(reason, |(broker, _)| broker).to_owned();
        self.seen.lock().by_broker.insert(broker, (is_refusal, reason.to_owned()));
    }
}

impl ConsumerContext for BrokerErrors {}

impl ProducerContext for BrokerErrors {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Settable {
        #[command(flatten)]
        kafka: KafkaConfig,
    }

    fn after(errors: &[(RDKafkaErrorCode, &str)]) -> Option<String> {
        let kafka = Settable::try_parse_from(["test"]).unwrap().kafka;
        let refusals = BrokerErrors::new(&kafka);
        for (code, reason) in errors {
            refusals.error(KafkaError::Global(*code), reason);
        }
        refusals.all_refuse()
    }

    #[test]
    fn only_a_refusal_by_all_brokers_is_final() {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, SSL};
        let down = (AllBrokersDown, "2/2 brokers are down");
        let refused = (SSL, "ssl://a:1/bootstrap: SSL handshake failed");
        let denied = (Authentication, "sasl_ssl://b:1/bootstrap: wrong password");
        let away = (BrokerTransportFailure, "ssl://b:1/bootstrap: Connect failed");
        assert_eq!(after(&[refused, down]).as_deref(), Some(refused.1));
        assert_eq!(after(&[refused, denied, down]).as_deref(), Some(denied.1));
        for errors in [
            &[][..],
            &[down],
            &[refused],
            &[refused, denied],
            &[refused, away, down],
            &[away, down, refused, down],
            &[away, down],
        ] {
            assert_eq!(after(errors), None, "{errors:?}");
        }
        let again = (SSL, "ssl://b:1/bootstrap: SSL handshake failed");
        assert!(after(&[away, refused, down, again]).is_some(), "the last error of each counts");
    }
}
