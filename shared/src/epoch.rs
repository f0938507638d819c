//! The epoch of a store: 0 at first, raised each time an operator accepts that its log was restored from a backup. Every
//! record of the topic carries the epoch it was published in.

/// The number of an epoch, from 0.
pub type Epoch = i32;

/// The largest epoch there can be: each is somebody's decision, so a record that claims more was not written by a relay.
pub const LARGEST: Epoch = 1_000_000;

/// The most epochs that a topic can be ahead of a store restored from a backup; a record that claims more was not written
/// by a relay.
pub const MOST_AHEAD: Epoch = 1_000;

/// The accepted restores of one partition: by epoch, the last position that it has in common with all earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restores(Vec<(Epoch, i64)>);

impl Restores {
    /// Returns whether a record was given up: some later epoch did not keep its position.
    pub fn gave_up(&self, epoch: Epoch, position: i64) -> bool {
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
    fn a_record_is_given_up_if_any_later_epoch_did_not_keep_it() {
        let restores: Restores = [(1, 8), (2, 6), (3, 40)].into_iter().collect();
        for (epoch, last) in [(0, 6), (1, 6), (2, 40), (3, i64::MAX), (4, i64::MAX)] {
            assert!(!restores.gave_up(epoch, last), "{epoch}");
            assert!(last == i64::MAX || restores.gave_up(epoch, last + 1), "{epoch}");
        }
        assert!(!Restores::default().gave_up(0, i64::MAX));
    }
}
