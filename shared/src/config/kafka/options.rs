//! Parsing of further options of the Kafka client.

use std::fmt;

use crate::config::secret::read;

/// Options of librdkafka. Debug output shows only their names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaOptions(pub(super) Vec<(String, String)>);

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl KafkaOptions {
    /// Parses `name=value,…`, as in KAFKA_OPTIONS.
    ///
    /// # Errors
    /// Returns the number of a setting that is not `name=value`.
    pub fn of_list(text: &str) -> Result<Self, String> {
        let settings =
            split(text).into_iter().enumerate().filter(|(_, setting)| !setting.trim().is_empty());
        let settings = settings.map(|(index, setting)| {
            name_and_value(&setting).ok_or_else(|| {
                format!(
                    "can't be read: its setting {} is not name=value. A comma within a value is \
                     written `\\,`; or give the settings in a file, by KAFKA_OPTIONS_FILE",
                    index + 1
                )
            })
        });
        settings.collect::<Result<_, _>>().map(Self)
    }

    /// Parses a file of `name=value` lines.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or returns the number of a line that is not `name=value`.
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

/// Splits at commas, except after a backslash.
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
