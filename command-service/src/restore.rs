//! A log that was restored from a backup: the partitions it has forked in, and the operator's decision to accept it.

/// The store's epoch and its forks, as every instance knows them.
pub mod standing;
