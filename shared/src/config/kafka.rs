//! Settings of Kafka. Values of further options can be secret, so no message, log or readiness
//! check shows them.

mod acceptance;
mod broker_errors;
mod check;
mod options;
#[cfg(test)]
mod tests;
mod tokens;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

pub use self::broker_errors::BrokerErrors;
pub use self::options::KafkaOptions;
pub use self::tokens::Tokens;
use super::Keys;
use super::secret::Unrepeated;
use crate::topic_record::authentication::TopicKeys;

/// Address of Kafka, and the topic that mirrors the log.
#[derive(Debug, Clone, Args)]
pub struct KafkaConfig {
    /// Bootstrap servers of Kafka, as `host:port`, separated by commas.
    #[arg(long, env, default_value = "127.0.0.1:9092",
          value_parser = NonEmptyStringValueParser::new())]
    pub kafka_brokers: String,
    /// Topic that mirrors the log.
    #[arg(long, env, default_value = "passbook.events",
          value_parser = NonEmptyStringValueParser::new())]
    pub kafka_topic: String,
    /// Further settings of librdkafka as `name=value`, separated by commas. A comma within a value
    /// is written `\,` and a backslash before a comma or a backslash `\\`.
    #[arg(long, env, default_value = "", hide_default_value = true, hide_env_values = true,
          value_parser = Unrepeated(KafkaOptions::of_list))]
    pub kafka_options: KafkaOptions,
    /// File with further settings, one `name=value` per line; empty lines and lines that begin with
    /// # are ignored. KAFKA_OPTIONS takes precedence.
    #[arg(long, env, value_parser = Unrepeated(KafkaOptions::of_file))]
    pub kafka_options_file: Option<KafkaOptions>,
    /// Secret that authenticates the records of the topic, at least 32 characters, the same for
    /// both services. During a rotation, a second line has the old secret. Without it, records are
    /// not authenticated.
    #[arg(long, env, default_value = "", hide_default_value = true, hide_env_values = true,
          value_parser = Unrepeated(Keys::of_text))]
    pub topic_key: Keys,
    /// File that contains the secret.
    #[arg(long, env, default_value = "", hide_default_value = true,
          value_parser = Unrepeated(Keys::of_file))]
    pub topic_key_file: Keys,
    /// OAuth token of the process's clients.
    #[arg(skip)]
    pub tokens: Tokens,
}

impl KafkaConfig {
    /// Returns the configuration of a client, without what depends on its use.
    pub fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka_brokers).set("client.id", client_id);
        // Health checks quote the client's log messages, even if our own log omits them.
        config.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in self.options().filter(|(name, _)| !tokens::is_own(name)) {
            config.set(name, value);
        }
        config
    }

    /// Returns the keys of the topic's records; none if records are not authenticated.
    pub fn topic_keys(&self) -> TopicKeys {
        // Only one of the two settings has keys, or `check` refuses them.
        TopicKeys::new(self.topic_key.as_slice().iter().chain(self.topic_key_file.as_slice()))
    }

    /// Returns true if the operator has set an option.
    pub fn sets(&self, name: &str) -> bool {
        self.options().any(|(given, _)| given == name)
    }

    /// Returns the value of an option that the operator has set.
    fn option(&self, name: &str) -> Option<&str> {
        self.options().filter(|(given, _)| *given == name).last().map(|(_, value)| value)
    }

    /// Sets an option unless the operator has set it.
    pub fn set_unless_given(&mut self, name: &str, value: &str) {
        if !self.sets(name) {
            self.kafka_options.0.push((name.to_owned(), value.to_owned()));
        }
    }

    // A later setting of a name replaces an earlier one, so KAFKA_OPTIONS comes last.
    fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_file = self.kafka_options_file.iter().flat_map(|options| &options.0);
        of_file.chain(&self.kafka_options.0).map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
