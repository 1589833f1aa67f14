//! Exact percentiles by selection, with the answers of Postgres's `percentile_cont` and
//! `percentile_disc` (`src/backend/utils/adt/orderedsetaggs.c`).
//!
//! `percentile_cont`: with `r = p * (n - 1)`, `lo` and `hi` the values at the ranks `floor(r)` and
//! `ceil(r)`, the answer is `lo` when the two ranks coincide and `lo + (r - floor(r)) * (hi - lo)`
//! otherwise. The same operations in the same order, so finite input gives the same bits.
//!
//! Edges, all as in Postgres: NaN sorts above everything and is returned where its rank is asked
//! for; infinities are ordinary values, and interpolation with an infinite neighbour follows the
//! formula above (`inf - inf` and `-inf + inf` are NaN). `-0.0` and `0.0` are equal, so which of
//! the two is returned depends on the order of the input, there as here.

mod select;

use crate::Error;
use select::order_statistics;

/// `percentile_cont(p) WITHIN GROUP (ORDER BY value)`; `None` for no values.
///
/// Reorders `values`.
///
/// # Errors
/// [`Error::Percentile`] when `p` is NaN or outside `0..=1`.
pub fn percentile_cont(values: &mut [f64], p: f64) -> Result<Option<f64>, Error> {
    Ok(percentiles_cont(values, &[p])?.and_then(|all| all.first().copied()))
}

/// [`percentile_cont`] for several `p` in one selection, answers in the order of `ps`.
///
/// Reorders `values`. `ps` may be in any order and may repeat.
///
/// # Errors
/// [`Error::Percentile`] when any `p` is NaN or outside `0..=1`.
pub fn percentiles_cont(values: &mut [f64], ps: &[f64]) -> Result<Option<Vec<f64>>, Error> {
    let spots = spots(values.len(), ps, Spot::cont)?;
    Ok(evaluate(values, &spots))
}

/// `percentile_disc(p) WITHIN GROUP (ORDER BY value)`: the first value whose share of the ordering
/// is at least `p`; `None` for no values.
///
/// Reorders `values`.
///
/// # Errors
/// [`Error::Percentile`] when `p` is NaN or outside `0..=1`.
pub fn percentile_disc(values: &mut [f64], p: f64) -> Result<Option<f64>, Error> {
    Ok(percentiles_disc(values, &[p])?.and_then(|all| all.first().copied()))
}

/// [`percentile_disc`] for several `p` in one selection, answers in the order of `ps`.
///
/// # Errors
/// [`Error::Percentile`] when any `p` is NaN or outside `0..=1`.
pub fn percentiles_disc(values: &mut [f64], ps: &[f64]) -> Result<Option<Vec<f64>>, Error> {
    let spots = spots(values.len(), ps, Spot::disc)?;
    Ok(evaluate(values, &spots))
}

/// Refuses percentiles outside `0..=1`, NaN among them.
pub(crate) fn check_percentile(p: f64) -> Result<f64, Error> {
    if (0.0..=1.0).contains(&p) {
        Ok(p)
    } else {
        Err(Error::Percentile(p))
    }
}

/// Where in the ordering a percentile lies: `proportion` of the way from rank `first` to rank
/// `second`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Rank, from 0, of the value below.
    pub first: u64,
    /// Rank of the value above: the same or the next.
    pub second: u64,
    /// Share of the difference between the two values.
    pub proportion: f64,
}

impl Spot {
    /// The spot of `percentile_cont` among `count` values of any type that can be ordered; `None`
    /// for no values.
    ///
    /// # Errors
    /// [`Error::Percentile`] when `p` is NaN or outside `0..=1`.
    pub fn locate(count: usize, p: f64) -> Result<Option<Self>, Error> {
        let p = check_percentile(p)?;
        Ok((count > 0).then(|| Self::cont(count as u64, p)))
    }

    /// The spot of `percentile_cont` among `count >= 1` values.
    pub(crate) fn cont(count: u64, p: f64) -> Self {
        let rank = p * (count - 1) as f64;
        let floor = rank.floor();
        let last = count - 1;
        Self {
            first: as_rank(floor).min(last),
            second: as_rank(rank.ceil()).min(last),
            proportion: rank - floor,
        }
    }

    /// The spot of `percentile_disc` among `count >= 1` values.
    fn disc(count: u64, p: f64) -> Self {
        let row = as_rank((p * count as f64).ceil()).clamp(1, count);
        Self {
            first: row - 1,
            second: row - 1,
            proportion: 0.0,
        }
    }

    /// Postgres's `float8_lerp`, or the value itself where no interpolation is called for.
    pub(crate) fn interpolate(self, lo: f64, hi: f64) -> f64 {
        if self.first == self.second {
            lo
        } else {
            lo + self.proportion * (hi - lo)
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is a whole number from 0 to n; the cast saturates above 2^64"
)]
fn as_rank(rank: f64) -> u64 {
    rank as u64
}

fn spots(count: usize, ps: &[f64], spot: fn(u64, f64) -> Spot) -> Result<Vec<Spot>, Error> {
    // Percentiles are checked even for an empty group, so that a wrong call fails on every data.
    ps.iter().try_for_each(|&p| check_percentile(p).map(drop))?;
    if count == 0 {
        return Ok(Vec::new());
    }
    Ok(ps.iter().map(|&p| spot(count as u64, p)).collect())
}

fn evaluate(values: &mut [f64], spots: &[Spot]) -> Option<Vec<f64>> {
    if values.is_empty() {
        return None;
    }
    let mut ranks: Vec<usize> = spots
        .iter()
        .flat_map(|spot| [spot.first, spot.second])
        .filter_map(|rank| usize::try_from(rank).ok())
        .collect();
    ranks.sort_unstable();
    ranks.dedup();
    let found = order_statistics(values, &ranks);
    let at = |rank: u64| {
        ranks
            .binary_search_by(|probe| (*probe as u64).cmp(&rank))
            .ok()
            .and_then(|i| found.get(i).copied())
            .unwrap_or(f64::NAN)
    };
    Some(
        spots
            .iter()
            .map(|spot| spot.interpolate(at(spot.first), at(spot.second)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_examples_of_postgres() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile_cont(&mut values, 0.5), Ok(Some(2.5)));
        assert_eq!(percentile_disc(&mut values, 0.5), Ok(Some(2.0)));
        assert_eq!(percentile_disc(&mut values, 0.0), Ok(Some(1.0)));
        assert_eq!(
            percentiles_cont(&mut values, &[1.0, 0.0, 0.25]),
            Ok(Some(vec![4.0, 1.0, 1.75]))
        );
    }

    #[test]
    fn no_values_have_no_percentile_but_wrong_percentiles_are_still_refused() {
        assert_eq!(percentile_cont(&mut [], 0.5), Ok(None));
        assert_eq!(percentile_cont(&mut [], 1.5), Err(Error::Percentile(1.5)));
        assert!(percentile_disc(&mut [1.0], f64::NAN).is_err());
        assert!(percentiles_cont(&mut [1.0], &[0.5, -0.1]).is_err());
        assert_eq!(percentiles_cont(&mut [1.0], &[]), Ok(Some(vec![])));
    }

    #[test]
    fn nan_sorts_last_and_infinities_are_values() {
        let mut values = [f64::NAN, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let disc = percentiles_disc(&mut values, &[0.2, 0.4, 0.6, 0.8])
            .unwrap()
            .unwrap();
        assert_eq!(&disc[..3], &[f64::NEG_INFINITY, 1.0, f64::INFINITY]);
        assert!(disc[3].is_nan());
        assert!(
            percentile_cont(&mut [f64::NEG_INFINITY, 1.0], 0.5)
                .unwrap()
                .unwrap()
                .is_nan()
        );
    }
}
