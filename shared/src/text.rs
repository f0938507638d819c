//! Text from clients: of limited length, stored unchanged, without NUL, which Postgres cannot
//! store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, de};

/// String of `MIN` to `MAX` characters (Unicode scalar values) without NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize, const MIN: usize = 0>(String);

impl<const MAX: usize, const MIN: usize> Text<MAX, MIN> {
    /// Checks a text.
    ///
    /// # Errors
    /// Returns a description of the violated limit.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        if text.contains('\0') {
            return Err("text must not contain a NUL character".to_owned());
        }
        let length = text.chars().count();
        if length < MIN || length > MAX {
            return Err(format!("text has {length} characters, but must have {MIN} to {MAX}"));
        }
        Ok(Self(text))
    }
}

impl<const MAX: usize, const MIN: usize> Deref for Text<MAX, MIN> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MAX: usize, const MIN: usize> Deserialize<'de> for Text<MAX, MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Owner of an account: an opaque reference.
pub type Owner = Text<200, 1>;
/// Reference or reason of an entry.
pub type Reference = Text<500>;

/// Metadata of an account or entry: up to [`Metadata::MAX_KEYS`] strings by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<Text<64, 1>, Text<500>>);

impl Metadata {
    /// Maximum number of keys.
    pub const MAX_KEYS: usize = 20;

    /// Returns true if there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Returns a description of the fault: an invalid key or value, a repeated key, or too many
    /// keys.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), String> {
        let key = Text::new(key).map_err(|error| format!("the key: {error}"))?;
        // A repeated key is reported as such, even at the maximum.
        if self.0.len() == Self::MAX_KEYS && !self.0.contains_key(&key) {
            return Err(format!("more than {} keys", Self::MAX_KEYS));
        }
        match self.0.insert(key, Text::new(value)?) {
            Some(_) => Err("the key is repeated".to_owned()),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor).map(Self)
    }
}

struct MetadataVisitor;

impl<'de> de::Visitor<'de> for MetadataVisitor {
    type Value = BTreeMap<Text<64, 1>, Text<500>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of up to {} strings", Metadata::MAX_KEYS)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            if map.insert(key, value).is_some() {
                return Err(de::Error::custom("a key is repeated"));
            }
            if map.len() > Metadata::MAX_KEYS {
                return Err(de::Error::invalid_length(map.len(), &self));
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests;
