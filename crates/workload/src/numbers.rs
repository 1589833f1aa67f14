//! Conversions between numbers, in one place because each needs a word on why it is safe.

/// Rounds down to a whole number; what is below zero or not a number becomes 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

/// Rounds to the nearest whole number; saturates.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
pub(crate) fn nearest(value: f64) -> i64 {
    value.round() as i64
}

/// An index into something that is in memory.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is in memory has indices of this size"
)]
pub(crate) fn index(value: u64) -> usize {
    value as usize
}

/// Turns weights into cumulative weights.
pub(crate) fn cumulate(weights: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let sums = weights.into_iter().scan(0, |sum, weight| {
        *sum += weight;
        Some(*sum)
    });
    sums.collect()
}

/// Shares `total` out by weight: entry k is how much goes to the first k parts, the last entry is
/// `total` exactly, and no part is more than one away from its due.
pub(crate) fn apportion(weights: impl IntoIterator<Item = u64>, total: u64) -> Vec<u64> {
    let sums = cumulate(weights);
    let whole = u128::from(sums.last().copied().unwrap_or(0).max(1));
    let share = |sum: u64| u128::from(sum) * u128::from(total) / whole;
    // A share of `total` fits where `total` fits.
    let shares = sums
        .into_iter()
        .map(|sum| u64::try_from(share(sum)).unwrap_or(total));
    std::iter::once(0).chain(shares).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_saturate() {
        assert_eq!((whole(2.9), whole(-1.0), whole(f64::NAN)), (2, 0, 0));
        assert_eq!(
            (nearest(2.5), nearest(-0.4), nearest(f64::INFINITY)),
            (3, 0, i64::MAX)
        );
    }

    #[test]
    fn shares_sum_to_the_total() {
        assert_eq!(apportion([1, 2, 1], 100), [0, 25, 75, 100]);
        assert_eq!(apportion([3, 3, 3], 1), [0, 0, 0, 1]);
        assert_eq!(apportion([0, 5, 0], 7), [0, 0, 7, 7]);
    }
}
