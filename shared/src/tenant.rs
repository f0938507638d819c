//! Tenants: parties that share a store and see nothing of each other.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

const LONGEST: usize = 64;

/// Name of a tenant: 1 to 64 letters, digits or characters of `-._`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Tenant(String);

impl FromStr for Tenant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!("a tenant has 1 to {LONGEST} letters, digits or characters of `-._`"))
        }
    }
}

impl<'de> Deserialize<'de> for Tenant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Deref for Tenant {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_a_plain_name() {
        for valid in ["acme", "Acme-2.de", "a_b", &"a".repeat(64)] {
            assert_eq!(valid.parse::<Tenant>().map(|tenant| tenant.to_string()), Ok(valid.into()));
        }
        for invalid in ["", "a b", "a/b", "ä", "a\0", &"a".repeat(65)] {
            assert!(invalid.parse::<Tenant>().is_err(), "{invalid:?}");
            assert!(serde_json::from_value::<Tenant>(invalid.into()).is_err(), "{invalid:?}");
        }
    }
}
