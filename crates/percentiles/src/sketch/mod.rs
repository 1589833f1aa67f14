//! A mergeable percentile sketch: exact while small, then with a guaranteed relative error.
//!
//! Up to [`EXACT_MAX`] finite values are kept as they are. Beyond, values are counted in buckets of
//! constant ratio (`mapping`); when the buckets outgrow their budget, neighbours are merged in
//! pairs and the guaranteed error roughly doubles (`table`). The state is a function of the
//! multiset of values: any order of rows and merges gives the same bytes.
//!
//! **Error.** While small, answers are those of `percentile_cont`. Beyond, each order statistic is
//! estimated within the share [`PercentileSketch::error`] of itself (for subnormal values, plus
//! 5e-324), and the least and the greatest value are exact. `percentile_cont` interpolates between
//! two neighbours, `(1 - t) * lo + t * hi`; where both have the same sign, the interpolated
//! estimate keeps the same relative error; where they differ in sign, it is within
//! `error * ((1 - t) * |lo| + t * |hi|)`.
//!
//! **Range.** At the default error of 1 % there are 35 buckets per octave, and [`MAX_BUCKETS`] may
//! be in use: 29 octaves without a gap, such as from 1 µs to 10 minutes; empty buckets are free.
//! The budget of bits narrows that where very many rows are spread evenly over the octaves, to 26
//! octaves at ten million rows and 18 at a billion.
//!
//! **Size.** Stored, see [`MAX_BYTES`]. In memory 2 KiB for the values or for the sums, and 8
//! bytes a bucket of the range in use: some 5 KiB, and never more than 128 KiB.

mod image;
mod mapping;
mod query;
mod table;

pub use query::HistogramRow;

use crate::Error;
use crate::stats::{MAX_COUNT as STATS_MAX_COUNT, Moments, Specials};
use image::{Body as ImageBody, Image};
use mapping::Mapping;
use std::ops::RangeInclusive;
use table::Table;

/// The guaranteed relative error of a sketch that was not asked for another.
pub const DEFAULT_ALPHA: f64 = 0.01;
/// Relative errors that may be asked for.
pub const ALPHA_RANGE: RangeInclusive<f64> = 1e-4..=0.5;
/// Up to this many finite values a sketch holds the values themselves.
pub const EXACT_MAX: usize = 250;
/// A sketch counts at most this many values.
pub const MAX_COUNT: u64 = STATS_MAX_COUNT;
/// At most this many buckets are in use.
pub const MAX_BUCKETS: usize = 1024;
/// At most this many rows can be asked of [`PercentileSketch::histogram`].
pub const MAX_HISTOGRAM_BUCKETS: usize = 10_000;
/// No stored sketch is longer than this, whatever its values; at the default error, 6 KiB.
///
/// Ordinary data stay below 2 KiB: the budget of the buckets is 1875 bytes, and the rest takes
/// about 100. Only data made to can exceed it: buckets with far gaps between them, neighbouring
/// counts that differ by orders of magnitude, and sums over the whole range of doubles.
pub const MAX_BYTES: usize = 8192;

/// Bits that the stored buckets may take, as reckoned by `table`'s cost of a count: the bits of
/// the count and [`OVERHEAD_BITS`].
const BUDGET_BITS: u32 = 15_000;
/// What a bucket takes beyond the bits of its count, when its neighbours are alike and adjacent.
const OVERHEAD_BITS: u32 = 2;

/// The number of a bucket: 0 for zero, positive and negative for values of that sign.
type Key = i32;

/// A mergeable sketch of a distribution of doubles.
#[derive(Debug, Clone)]
pub struct PercentileSketch {
    mapping: Mapping,
    specials: Specials,
    /// At most [`EXACT_MAX`] finite values in any order; empty once there are buckets.
    values: Vec<f64>,
    buckets: Option<Box<Buckets>>,
}

#[derive(Debug, Clone, Default)]
struct Buckets {
    table: Table,
    moments: Moments,
}

impl Buckets {
    fn of(mapping: Mapping, values: &[f64]) -> Self {
        let mut buckets = Self::default();
        for &x in values {
            buckets.insert(mapping, x);
        }
        buckets
    }

    #[inline]
    fn insert(&mut self, mapping: Mapping, x: f64) {
        self.table.increment(mapping.key(x, self.table.level()));
        self.moments.add(x);
    }
}

impl Default for PercentileSketch {
    fn default() -> Self {
        Self::with_mapping(Mapping::for_error(DEFAULT_ALPHA))
    }
}

/// Sketches are equal when their stored forms are.
impl PartialEq for PercentileSketch {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl PercentileSketch {
    /// An empty sketch with a guaranteed relative error of `alpha`.
    ///
    /// # Errors
    /// [`Error::Alpha`] when `alpha` is not in [`ALPHA_RANGE`].
    pub fn new(alpha: f64) -> Result<Self, Error> {
        if ALPHA_RANGE.contains(&alpha) {
            Ok(Self::with_mapping(Mapping::for_error(alpha)))
        } else {
            Err(Error::Alpha(alpha))
        }
    }

    fn with_mapping(mapping: Mapping) -> Self {
        Self {
            mapping,
            specials: Specials::default(),
            values: Vec::new(),
            buckets: None,
        }
    }

    /// Takes one value in.
    #[inline]
    pub fn insert(&mut self, x: f64) {
        if !x.is_finite() {
            self.specials.add(x);
        } else if let Some(buckets) = &mut self.buckets {
            buckets.insert(self.mapping, x);
        } else {
            self.insert_while_exact(x);
        }
    }

    fn insert_while_exact(&mut self, x: f64) {
        if self.values.len() < EXACT_MAX {
            self.values.push(x + 0.0); // -0.0 becomes 0.0: equal values must leave equal sketches
        } else {
            let mapping = self.mapping;
            self.buckets().insert(mapping, x);
        }
    }

    /// Takes all values of `other` in.
    ///
    /// # Errors
    /// [`Error::AlphaMismatch`] when the two were made for different relative errors,
    /// [`Error::TooManyValues`] above [`MAX_COUNT`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.check_merge(other.mapping, other.count())?;
        self.specials.merge(other.specials);
        if let Some(theirs) = &other.buckets {
            let ours = self.buckets();
            ours.table.merge(&theirs.table);
            ours.moments.merge(&theirs.moments);
        } else {
            self.insert_all(other.values.iter().copied());
        }
        Ok(())
    }

    /// Takes a stored sketch in, without building it first.
    ///
    /// # Errors
    /// As [`PercentileSketch::merge`], and [`Error::Decode`] when the bytes are not a stored
    /// sketch; `self` is unchanged then.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let image = Image::parse(bytes)?;
        self.check_merge(image.mapping, image.count())?;
        self.absorb(image);
        Ok(())
    }

    /// Reads what [`PercentileSketch::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let image = Image::parse(bytes)?;
        let mut sketch = Self::with_mapping(image.mapping);
        sketch.absorb(image);
        Ok(sketch)
    }

    fn absorb(&mut self, image: Image<'_>) {
        self.specials.merge(image.specials);
        match image.body {
            ImageBody::Values(values) => {
                self.insert_all(values.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            ImageBody::Buckets(theirs) => {
                let ours = self.buckets();
                ours.table.collapse_to(theirs.level);
                for (key, count) in theirs.counts {
                    ours.table.add(key, theirs.level, count);
                }
                ours.moments.merge(&theirs.moments);
            }
        }
    }

    fn insert_all(&mut self, values: impl ExactSizeIterator<Item = f64>) {
        if self.buckets.is_none() {
            self.values
                .reserve(values.len().min(EXACT_MAX - self.values.len()));
        }
        values.for_each(|x| self.insert(x));
    }

    fn check_merge(&self, mapping: Mapping, count: u64) -> Result<(), Error> {
        if self.mapping != mapping {
            return Err(Error::AlphaMismatch {
                left: self.mapping.error(0),
                right: mapping.error(0),
            });
        }
        if self.count() + count > MAX_COUNT {
            return Err(Error::TooManyValues);
        }
        Ok(())
    }

    /// The buckets, made from the values where those were still kept.
    fn buckets(&mut self) -> &mut Buckets {
        self.buckets.get_or_insert_with(|| {
            let values = std::mem::take(&mut self.values);
            Box::new(Buckets::of(self.mapping, &values))
        })
    }
}
