//! Agreement of the views with the log. Anyone with access to Kafka can write to the topic, and the
//! log can be restored from a backup. Comparing applied events with the log detects both, and this
//! module tells them apart.

pub(crate) mod common;
pub(crate) mod correct;
mod disagreement;
/// Periodic comparison of the views with the log.
pub(crate) mod guard;
mod look;
