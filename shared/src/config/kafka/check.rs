//! Check of the settings, without repeating values that can be secret.

use anyhow::bail;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use rdkafka::types::RDKafkaConfRes;

use super::{KafkaConfig, tokens};
use crate::config::Keys;

impl KafkaConfig {
    /// Removes the values of options from a message of the Kafka client.
    pub fn redacted(&self, message: &str) -> String {
        let is_secret = |name: &str| {
            ["password", "secret", "key", "username"].iter().any(|part| name.contains(part))
        };
        let may_be_secret = |(name, value): &(&str, &str)| {
            // Very short values occur in many messages, which would become illegible.
            !value.is_empty()
                && (is_secret(name) || value.len() > 3 && !matches!(*value, "true" | "false"))
        };
        let options = self.options().map(|(name, value)| (name, value.trim()));
        let mut values: Vec<&str> = options.filter(may_be_secret).map(|(_, value)| value).collect();
        // A value that contains another must be replaced first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.into_iter().fold(message.to_owned(), |message, value| {
            message.replace(value, "[value of an option]")
        })
    }

    /// Warns if the records of the topic are not authenticated.
    pub fn warn_unless_authenticated(&self) {
        if self.topic_keys().is_empty() {
            tracing::warn!(
                "TOPIC_KEY is not set: the topic is not authenticated, so the views can show \
                 forged events until they are compared with the log"
            );
        }
    }

    /// Returns the error for a client that could not be created with these settings.
    pub fn refused(&self, error: &KafkaError) -> anyhow::Error {
        let reason = match error {
            KafkaError::ClientConfig(_, _, name, _) => {
                format!("the Kafka client refuses `{name}`")
            }
            error => self.redacted(&error.to_string()),
        };
        anyhow::anyhow!("KAFKA_OPTIONS, KAFKA_OPTIONS_FILE or another Kafka setting: {reason}")
    }

    /// Checks that the Kafka client accepts every option, and that the topic's key is set once.
    ///
    /// # Errors
    /// Returns the name of a refused option, or the client's reason without values.
    pub fn check(&self) -> anyhow::Result<()> {
        Keys::either("TOPIC_KEY", &self.topic_key, &self.topic_key_file)?;
        let sources = [
            ("KAFKA_OPTIONS", Some(&self.kafka_options)),
            ("KAFKA_OPTIONS_FILE", self.kafka_options_file.as_ref()),
        ];
        for (source, options) in sources {
            let options = options.into_iter().flat_map(|options| &options.0);
            for (name, value) in options.filter(|(name, _)| !tokens::is_own(name)) {
                match ClientConfig::new().set(name, value).create_native_config() {
                    Ok(_) => {}
                    Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                        bail!("{source}: the Kafka client has no option `{name}`")
                    }
                    // This reason describes the build of the client and does not quote the value.
                    Err(KafkaError::ClientConfig(_, reason, ..))
                        if reason.contains("not supported in this build") =>
                    {
                        bail!("{source}: {reason}")
                    }
                    Err(_) => {
                        bail!("{source}: the Kafka client refuses the value of `{name}`")
                    }
                }
            }
        }
        self.check_tokens()?;
        // Only a real client checks options that depend on each other, and files that they name.
        let mut config = self.client("passbook-check");
        // The error is returned, so the client need not log it, too.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config.create::<BaseProducer>().map(drop).map_err(|error| self.refused(&error))
    }
}
