//! Durations of single operations.

use std::time::Duration;

/// Durations with quantiles.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    micros: Vec<u32>,
}

impl Samples {
    pub(crate) fn add(&mut self, took: Duration) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.micros.extend(other.micros);
    }

    pub(crate) fn len(&self) -> usize {
        self.micros.len()
    }

    /// Returns the `of` quantile (0 to 1) in milliseconds; NaN without samples.
    pub(crate) fn quantile(&mut self, of: f64) -> f64 {
        self.micros.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let index = (self.micros.len() as f64 * of) as usize;
        self.micros
            .get(index.min(self.micros.len().saturating_sub(1)))
            .map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
    }
}

#[cfg(test)]
mod tests;
