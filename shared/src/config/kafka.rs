//! Kafka's settings. Values of further options may be secrets: they appear in no message, log or readiness.

use std::fmt;

use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use rdkafka::types::RDKafkaConfRes;

use super::secret::{Unrepeated, read};

/// Where Kafka is, and which topic mirrors the log.
#[derive(Debug, Clone, Args)]
pub struct KafkaConfig {
    /// Kafka's bootstrap servers, as `host:port`, separated by commas.
    #[arg(long, env, default_value = "127.0.0.1:9092", value_parser = NonEmptyStringValueParser::new())]
    pub kafka_brokers: String,
    /// The topic that mirrors the log.
    #[arg(long, env, default_value = "passbook.events", value_parser = NonEmptyStringValueParser::new())]
    pub kafka_topic: String,
    /// Further settings of librdkafka as `name=value`, separated by commas. A comma within a value is written `\,` and a
    /// backslash before a comma or a backslash `\\`.
    #[arg(long, env, default_value = "", hide_default_value = true, hide_env_values = true,
          value_parser = Unrepeated(KafkaOptions::of_list))]
    pub kafka_options: KafkaOptions,
    /// A file with further settings, one `name=value` a line; empty lines and lines that begin with # are skipped.
    /// KAFKA_OPTIONS goes before it.
    #[arg(long, env, value_parser = Unrepeated(KafkaOptions::of_file))]
    pub kafka_options_file: Option<KafkaOptions>,
}

/// Settings of librdkafka, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaOptions(Vec<(String, String)>);

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl KafkaOptions {
    /// Reads `name=value,…`, as in KAFKA_OPTIONS.
    ///
    /// # Errors
    /// The number of the setting that is not `name=value`.
    pub fn of_list(text: &str) -> Result<Self, String> {
        let settings =
            split(text).into_iter().enumerate().filter(|(_, setting)| !setting.trim().is_empty());
        let settings = settings.map(|(index, setting)| {
            name_and_value(&setting).ok_or_else(|| {
                format!(
                    "can't be read: its setting {} is not name=value. A comma within a value is written `\\,`; or give \
                     the settings in a file, by KAFKA_OPTIONS_FILE",
                    index + 1
                )
            })
        });
        settings.collect::<Result<_, _>>().map(Self)
    }

    /// Reads a file of `name=value` lines.
    ///
    /// # Errors
    /// The file can't be read, or the number of the line that is not `name=value`.
    pub fn of_file(path: &str) -> Result<Self, String> {
        let text = read(path)?;
        let lines = text.lines().enumerate();
        let lines = lines
            .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let settings = lines.map(|(index, line)| {
            name_and_value(line)
                .ok_or_else(|| format!("can't be read: its line {} is not name=value", index + 1))
        });
        settings.collect::<Result<_, _>>().map(Self)
    }
}

fn name_and_value(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim(), value))
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// Splits at the commas that no backslash precedes.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = characters.next_if(|next| character == '\\' && matches!(next, ',' | '\\'));
        match (character, escaped) {
            (',', None) => parts.push(String::new()),
            (character, escaped) => parts
                .last_mut()
                .into_iter()
                .for_each(|part| part.push(escaped.unwrap_or(character))),
        }
    }
    parts
}

impl KafkaConfig {
    /// A client configuration with these settings, for the client to complete.
    pub fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka_brokers).set("client.id", client_id);
        // Its reasons are in its log, whether or not ours shows that.
        config.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in self.options() {
            config.set(name, value);
        }
        config
    }

    /// Whether the operator has set an option.
    pub fn sets(&self, name: &str) -> bool {
        self.options().any(|(given, _)| given == name)
    }

    /// Sets an option, unless the operator has.
    pub fn set_unless_given(&mut self, name: &str, value: &str) {
        if !self.sets(name) {
            self.kafka_options.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// A message of the Kafka client without the values of options that it may repeat.
    pub fn redacted(&self, message: &str) -> String {
        let is_secret = |name: &str| {
            ["password", "secret", "key", "username"].iter().any(|part| name.contains(part))
        };
        let is_telling = |(name, value): &(&str, &str)| {
            !value.is_empty()
                && (is_secret(name) || value.len() > 3 && !matches!(*value, "true" | "false"))
        };
        let options = self.options().map(|(name, value)| (name, value.trim()));
        let mut values: Vec<&str> = options.filter(is_telling).map(|(_, value)| value).collect();
        // One that contains another goes first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.into_iter().fold(message.to_owned(), |message, value| {
            message.replace(value, "[value of an option]")
        })
    }

    /// The error of a client that could not be made with these settings.
    pub fn refused(&self, error: &KafkaError) -> anyhow::Error {
        let reason = match error {
            KafkaError::ClientConfig(_, _, name, _) => {
                format!("the Kafka client does not take `{name}`")
            }
            error => self.redacted(&error.to_string()),
        };
        anyhow::anyhow!("KAFKA_OPTIONS, KAFKA_OPTIONS_FILE or another Kafka setting: {reason}")
    }

    /// Checks that the Kafka client takes every option.
    ///
    /// # Errors
    /// The name of the option that it does not take, or its reason without values.
    pub fn check(&self) -> anyhow::Result<()> {
        let sources = [
            ("KAFKA_OPTIONS", Some(&self.kafka_options)),
            ("KAFKA_OPTIONS_FILE", self.kafka_options_file.as_ref()),
        ];
        for (source, options) in sources {
            for (name, value) in options.into_iter().flat_map(|options| &options.0) {
                match ClientConfig::new().set(name, value).create_native_config() {
                    Ok(_) => {}
                    Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                        bail!("{source}: the Kafka client has no option `{name}`")
                    }
                    // Says of the build what it lacks, and does not quote the value.
                    Err(KafkaError::ClientConfig(_, reason, ..))
                        if reason.contains("not supported in this build") =>
                    {
                        bail!("{source}: {reason}")
                    }
                    Err(_) => {
                        bail!("{source}: the Kafka client does not take the value of `{name}`")
                    }
                }
            }
        }
        // What an option needs of another, and the files that options name.
        let mut config = self.client("passbook-check");
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config.create::<BaseProducer>().map(drop).map_err(|error| self.refused(&error))
    }

    /// Those of the file first, so that a later one of the same name goes before it.
    fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_file = self.kafka_options_file.iter().flat_map(|options| &options.0);
        of_file.chain(&self.kafka_options.0).map(|(name, value)| (name.as_str(), value.as_str()))
    }
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

    fn read(options: &str) -> Result<KafkaConfig, String> {
        let given = ["test", "--kafka-options", options];
        Settable::try_parse_from(given)
            .map(|settable| settable.kafka)
            .map_err(|error| error.to_string())
    }

    fn pairs(config: &KafkaConfig) -> Vec<(&str, &str)> {
        config.options().collect()
    }

    #[test]
    fn a_value_may_have_commas() {
        let config = read(r"sasl.username=ada,sasl.password=a\,b=\\c\d,client.rack=").unwrap();
        assert_eq!(
            pairs(&config),
            [("sasl.username", "ada"), ("sasl.password", r"a,b=\c\d"), ("client.rack", "")]
        );
        assert!(pairs(&read("").unwrap()).is_empty());
    }

    #[test]
    fn the_rest_of_a_value_is_not_repeated() {
        let said = read("sasl.username=ada,sasl.password=se,kret").err().unwrap();
        assert!(said.contains("--kafka-options") && said.contains("setting 3"), "{said}");
        assert!(!said.contains("kret") && !said.contains("se,"), "{said}");
        assert_eq!(
            format!("{:?}", read("sasl.password=kret").unwrap().kafka_options),
            r#"["sasl.password"]"#
        );
    }

    #[test]
    fn a_file_has_one_setting_a_line_and_the_list_goes_before_it() {
        let path = std::env::temp_dir().join(format!("passbook-options-{}", std::process::id()));
        std::fs::write(
            &path,
            "# ours\n\nsasl.password=a,b\\,c # \nlinger.ms = 5\nclient.rack=file\n",
        )
        .unwrap();
        let mut config = read("client.rack=list").unwrap();
        config.kafka_options_file = Some(KafkaOptions::of_file(path.to_str().unwrap()).unwrap());
        assert_eq!(config.client("test").get("client.rack"), Some("list"));
        assert_eq!(config.client("test").get("sasl.password"), Some("a,b\\,c # "));
        assert!(config.sets("linger.ms") && !config.sets("acks"));
        std::fs::write(&path, "# ours\nkret\n").unwrap();
        let said = KafkaOptions::of_file(path.to_str().unwrap()).unwrap_err();
        assert!(said.contains("line 2") && !said.contains("kret"), "{said}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_option_that_is_not_taken_is_named_without_its_value() {
        assert!(read("security.protocol=PLAINTEXT,linger.ms=5").unwrap().check().is_ok());
        for (options, words) in [
            ("sasl.pasword=kretkret", "no option `sasl.pasword`"),
            ("linger.ms=kretkret", "value of `linger.ms`"),
            ("security.protocol=kretkret", "value of `security.protocol`"),
            ("security.protocol=SSL,ssl.ca.location=/kretkret", "KAFKA_OPTIONS"),
        ] {
            let said = format!("{:#}", read(options).unwrap().check().unwrap_err());
            assert!(said.contains(words) && !said.contains("kretkret"), "{options}: {said}");
        }
    }
}
