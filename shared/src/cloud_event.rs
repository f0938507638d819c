//! Value of a record in the topic: a self-contained CloudEvents 1.0.2 document in JSON, structured
//! mode.
//!
//! `position` and `version` are strings, because an integer attribute of CloudEvents has 32 bits.
//! The key of the record is the account id as text.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use self::decode::{Decoded, decode};
pub use self::encode::{encode, schema};

const SPEC_VERSION: &str = "1.0";
