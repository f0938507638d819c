//! Epoch of a store: 0 at first, raised each time an operator accepts a restore of the log from a
//! backup. Every record of the topic carries the epoch of its publishing.

/// Number of an epoch, from 0.
pub type Epoch = i32;

/// Largest epoch. Each epoch is an operator's decision, so a record with a larger one is forged.
pub const LARGEST: Epoch = 1_000_000;

/// Maximum number of epochs by which a topic can be ahead of a store restored from a backup. A
/// record further ahead is forged.
pub const MOST_AHEAD: Epoch = 1_000;

/// Accepted restores of one partition: for each epoch, the last position that it shares with all
/// earlier epochs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restores(Vec<(Epoch, i64)>);

impl Restores {
    /// Returns true if a restore voided the record: some later epoch did not keep its position.
    pub fn voided(&self, epoch: Epoch, position: i64) -> bool {
        self.0.iter().any(|(later, kept)| *later > epoch && position > *kept)
    }
}

impl FromIterator<(Epoch, i64)> for Restores {
    fn from_iter<T: IntoIterator<Item = (Epoch, i64)>>(restores: T) -> Self {
        Self(restores.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_void_if_any_later_epoch_did_not_keep_its_position() {
        let restores: Restores = [(1, 8), (2, 6), (3, 40)].into_iter().collect();
        for (epoch, last) in [(0, 6), (1, 6), (2, 40), (3, i64::MAX), (4, i64::MAX)] {
            assert!(!restores.voided(epoch, last), "{epoch}");
            assert!(last == i64::MAX || restores.voided(epoch, last + 1), "{epoch}");
        }
        assert!(!Restores::default().voided(0, i64::MAX));
    }
}
