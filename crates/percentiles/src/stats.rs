//! Count, sum, mean, variance, least and greatest value in one pass, mergeable.
//!
//! The state is exact: the sums of the values and of their squares are kept without rounding
//! (`wide`), so a merge is an addition, every order of rows and merges gives the same bytes, and
//! `sum` is the correctly rounded true sum. The variance is `(n * Σx² - (Σx)²) / (n * (n - 1))`
//! evaluated exactly up to one division, so nothing cancels, as it would in doubles; the updating
//! formulas of Welford (1962) and of Chan, Golub and `LeVeque` (1983) only lessen that loss.
//!
//! NaN and infinities follow Postgres's `avg` and `stddev`: with a NaN, or with both infinities,
//! sum and mean are NaN; with one kind of infinity they are that infinity; with any of these the
//! variance is NaN. `min` and `max` order `-inf < finite < inf < NaN`. Sums beyond the range of a
//! double are infinite (Postgres raises an overflow error); means and standard deviations are not.

use crate::Error;
use crate::codec::{DecodeError, Reader, require, write_varint};
use crate::sums::{Sums, Totals};
use crate::wide::{Scaled, difference, product};

const VERSION: u8 = 1;
/// A state counts at most this many values: counts and ranks stay exact as doubles.
pub(crate) const MAX_COUNT: u64 = 1 << 53;
const SIGN_BIT: u64 = 1 << 63;
/// Exponent of the unit in which sums are counted: that of the least positive double.
const UNIT: i32 = -1074;

/// Exact one-pass statistics of doubles.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    specials: Specials,
    moments: Moments,
}

/// States are equal when their stored forms are.
impl PartialEq for Stats {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Stats {
    /// Statistics of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one value in.
    #[inline]
    pub fn add(&mut self, x: f64) {
        if x.is_finite() {
            self.moments.add(x);
        } else {
            self.specials.add(x);
        }
    }

    /// Takes all values of `other` in.
    ///
    /// # Errors
    /// [`Error::TooManyValues`] when both together hold more than 2^53 values; `self` is unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.count() + other.count() > MAX_COUNT {
            return Err(Error::TooManyValues);
        }
        self.specials.merge(other.specials);
        self.moments.merge(&other.moments);
        Ok(())
    }

    /// Number of values, NaN and infinities included.
    pub fn count(&self) -> u64 {
        self.specials.total() + self.moments.count
    }

    /// The correctly rounded sum; `None` for no values.
    pub fn sum(&self) -> Option<f64> {
        self.when_any(|| self.specials.sum().unwrap_or_else(|| self.moments.sum()))
    }

    /// The mean; `None` for no values.
    pub fn mean(&self) -> Option<f64> {
        self.when_any(|| self.specials.sum().unwrap_or_else(|| self.moments.mean()))
    }

    /// Variance with the divisor `n - 1`; `None` for fewer than two values.
    pub fn variance_sample(&self) -> Option<f64> {
        self.spread(1, Scaled::to_f64)
    }

    /// Variance with the divisor `n`; `None` for no values.
    pub fn variance_population(&self) -> Option<f64> {
        self.spread(0, Scaled::to_f64)
    }

    /// Standard deviation with the divisor `n - 1`; `None` for fewer than two values.
    pub fn stddev_sample(&self) -> Option<f64> {
        self.spread(1, |variance| variance.sqrt().to_f64())
    }

    /// Standard deviation with the divisor `n`; `None` for no values.
    pub fn stddev_population(&self) -> Option<f64> {
        self.spread(0, |variance| variance.sqrt().to_f64())
    }

    /// The least value; `None` for no values.
    pub fn min(&self) -> Option<f64> {
        self.when_any(|| self.specials.min(self.moments.range()))
    }

    /// The greatest value; `None` for no values.
    pub fn max(&self) -> Option<f64> {
        self.when_any(|| self.specials.max(self.moments.range()))
    }

    /// The stored form: a version byte, then counts, extremes and sums; canonical.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.specials.write(&mut out);
        write_varint(&mut out, self.moments.count);
        if self.moments.count > 0 {
            self.moments.write(&mut out);
        }
        out
    }

    /// Reads what [`Stats::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let specials = Specials::read(&mut reader)?;
        let moments = match read_count(&mut reader)? {
            0 => Moments::default(),
            count => Moments::read(count, &mut reader)?,
        };
        reader.finish()?;
        let stats = Self { specials, moments };
        require(stats.count() <= MAX_COUNT, "count")?;
        Ok(stats)
    }

    fn when_any(&self, evaluate: impl FnOnce() -> f64) -> Option<f64> {
        (self.count() > 0).then(evaluate)
    }

    fn spread(&self, freedom: u64, evaluate: impl FnOnce(Scaled) -> f64) -> Option<f64> {
        if self.count() <= freedom {
            None
        } else if self.specials.total() > 0 {
            Some(f64::NAN)
        } else {
            Some(evaluate(self.moments.variance(freedom)))
        }
    }

    pub(crate) fn from_parts(specials: Specials, moments: Moments) -> Self {
        Self { specials, moments }
    }
}

pub(crate) fn read_count(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let count = reader.varint()?;
    require(count <= MAX_COUNT, "count")?;
    Ok(count)
}

/// How many values were not finite, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Specials {
    pub(crate) neg_inf: u64,
    pub(crate) pos_inf: u64,
    pub(crate) nan: u64,
}

impl Specials {
    #[cold]
    pub(crate) fn add(&mut self, x: f64) {
        if x.is_nan() {
            self.nan += 1;
        } else if x > 0.0 {
            self.pos_inf += 1;
        } else {
            self.neg_inf += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.neg_inf += other.neg_inf;
        self.pos_inf += other.pos_inf;
        self.nan += other.nan;
    }

    pub(crate) fn total(self) -> u64 {
        self.neg_inf + self.pos_inf + self.nan
    }

    /// What a sum with these is, if any are there.
    fn sum(self) -> Option<f64> {
        match (self.nan, self.neg_inf, self.pos_inf) {
            (0, 0, 0) => None,
            (0, _, 0) => Some(f64::NEG_INFINITY),
            (0, 0, _) => Some(f64::INFINITY),
            _ => Some(f64::NAN),
        }
    }

    /// The least of these and of a finite range, in Postgres's order.
    pub(crate) fn min(self, finite: Option<(f64, f64)>) -> f64 {
        match finite {
            _ if self.neg_inf > 0 => f64::NEG_INFINITY,
            Some((min, _)) => min,
            None if self.pos_inf > 0 => f64::INFINITY,
            None => f64::NAN,
        }
    }

    /// The greatest of these and of a finite range, in Postgres's order.
    pub(crate) fn max(self, finite: Option<(f64, f64)>) -> f64 {
        match finite {
            _ if self.nan > 0 => f64::NAN,
            _ if self.pos_inf > 0 => f64::INFINITY,
            Some((_, max)) => max,
            None => f64::NEG_INFINITY,
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        for count in [self.neg_inf, self.pos_inf, self.nan] {
            write_varint(out, count);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            neg_inf: read_count(reader)?,
            pos_inf: read_count(reader)?,
            nan: read_count(reader)?,
        })
    }
}

/// Exact sums, count and range of finite values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    sums: Sums,
}

impl Moments {
    /// Takes one finite value in.
    #[inline]
    pub(crate) fn add(&mut self, x: f64) {
        // Hardly any value does, so a branch is cheaper here than two minima. The range of no
        // values is 0 to 0, which is right for a first value of 0.
        if x < self.min || x > self.max {
            self.widen(x);
        }
        self.count += 1;
        self.sums.add(x);
    }

    #[cold]
    fn widen(&mut self, x: f64) {
        let is_first = self.count == 0;
        self.min = if is_first || x < self.min {
            x
        } else {
            self.min
        };
        self.max = if is_first || x > self.max {
            x
        } else {
            self.max
        };
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            (self.min, self.max) = (other.min, other.max);
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sums.merge(&other.sums);
    }

    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        (self.count > 0).then_some((self.min, self.max))
    }

    fn sum(&self) -> f64 {
        self.divided_sum(1.0)
    }

    fn mean(&self) -> f64 {
        self.divided_sum(self.count as f64)
    }

    fn divided_sum(&self, divisor: f64) -> f64 {
        let (total, is_negative) = total(&self.sums.totals());
        let value = Scaled::round(&total, UNIT).divide(divisor).to_f64();
        if is_negative { -value } else { value }
    }

    /// `(n * Σx² - (Σx)²) / (n * (n - freedom))`, for more than `freedom` values.
    fn variance(&self, freedom: u64) -> Scaled {
        let totals = self.sums.totals();
        let (total, _) = total(&totals);
        let scaled_squares = product(&totals.squares.to_words(), &[self.count]);
        let (excess, is_negative) = difference(&scaled_squares, &product(&total, &total));
        // Never negative for real values (Cauchy and Schwarz); stored bytes may claim otherwise.
        let excess: &[u64] = if is_negative { &[] } else { &excess };
        let divisor = self.count as f64 * (self.count - freedom) as f64;
        Scaled::round(excess, 2 * UNIT).divide(divisor)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.min.to_le_bytes());
        out.extend_from_slice(&self.max.to_le_bytes());
        self.sums.totals().write(out);
    }

    /// Reads what [`Moments::write`] wrote of `count > 0` values.
    pub(crate) fn read(count: u64, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (min, max) = (reader.f64()?, reader.f64()?);
        let is_range = is_plain(min) && is_plain(max) && min <= max;
        require(is_range, "least and greatest value")?;
        let totals = Totals::read(reader)?;
        let has_signs = totals.positive.is_zero() == (max <= 0.0)
            && totals.negative.is_zero() == (min >= 0.0)
            && totals.squares.is_zero() == (min == 0.0 && max == 0.0);
        require(has_signs, "sums contradict the least and greatest value")?;
        Ok(Self {
            count,
            min,
            max,
            sums: totals.into(),
        })
    }
}

/// Whether a stored value can have come from [`Moments::add`]: finite and not `-0.0`.
pub(crate) fn is_plain(x: f64) -> bool {
    x.is_finite() && x.to_bits() != SIGN_BIT
}

/// The whole number of units that all values sum to, and whether it is negative.
fn total(totals: &Totals) -> (Vec<u64>, bool) {
    difference(&totals.positive.to_words(), &totals.negative.to_words())
}
