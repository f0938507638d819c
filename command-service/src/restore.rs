//! Restores of the log from a backup: detection of forked partitions, and their acceptance by an
//! operator.

/// Survey and acceptance of a restored log.
pub mod desk;
/// Epoch and forks of the store, in memory.
pub mod standing;
/// Events that the topic holds beyond a restored log.
pub mod survey;
