//! Agreement of the views with the log. Anyone with access to Kafka can write to the topic, and the
//! log can be restored from a backup. A comparison of applied events with the log detects both
//! cases. This module distinguishes them.

pub(crate) mod common;
pub(crate) mod correct;
mod disagreement;
/// Periodic comparison of the views with the log.
pub(crate) mod guard;
mod look;
