//! A log that was restored from a backup: the partitions it has forked in, and the operator's decision to accept it.

/// Where operators see what a restore gives up, and accept it.
pub mod desk;
/// The store's epoch and its forks, as every instance knows them.
pub mod standing;
/// What the topic holds beyond a restored log.
pub mod survey;
