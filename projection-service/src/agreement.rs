//! Agreement of the views with the log. The topic is a mirror that anybody with access to Kafka can write to, and a log
//! can be restored from a backup: both are found by comparing what was applied with the log, and told apart here.

pub(crate) mod common;
pub(crate) mod correct;
mod disagreement;
/// Compares the views with the log, again and again.
pub(crate) mod guard;
mod look;
