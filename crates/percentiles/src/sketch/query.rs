//! What can be asked of a sketch.

use super::{Buckets, Key, MAX_HISTOGRAM_BUCKETS, Mapping, PercentileSketch};
use crate::Error;
use crate::exact::{Spot, check_percentile};
use crate::stats::{Moments, Stats};

/// One row of [`PercentileSketch::histogram`]: the values from `lower` up to, not including,
/// `upper`; the last row includes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramRow {
    /// Lower bound, included.
    pub lower: f64,
    /// Upper bound, included in the last row only.
    pub upper: f64,
    /// Number of values, estimated once the sketch is not exact.
    pub count: u64,
}

impl PercentileSketch {
    /// Number of values, NaN and infinities included.
    pub fn count(&self) -> u64 {
        self.specials.total() + self.finite_count()
    }

    fn finite_count(&self) -> u64 {
        match &self.buckets {
            None => self.values.len() as u64,
            Some(buckets) => buckets.moments.count,
        }
    }

    /// Whether all values are still there, so that every answer is exact.
    pub fn is_exact(&self) -> bool {
        self.buckets.is_none()
    }

    /// The relative error that is guaranteed now: 0 while exact.
    pub fn error(&self) -> f64 {
        match &self.buckets {
            None => 0.0,
            Some(buckets) => self.mapping.error(buckets.table.level()),
        }
    }

    /// The relative error that the sketch was made for: at most the one that was asked for.
    pub fn alpha(&self) -> f64 {
        self.mapping.error(0)
    }

    /// The percentile `p`, interpolated as by `percentile_cont`; `None` for no values.
    ///
    /// # Errors
    /// [`Error::Percentile`] when `p` is NaN or outside `0..=1`.
    pub fn value_at(&self, p: f64) -> Result<Option<f64>, Error> {
        Ok(self.values_at(&[p])?.and_then(|all| all.first().copied()))
    }

    /// [`PercentileSketch::value_at`] for several `p`, answers in the order of `ps`.
    ///
    /// # Errors
    /// [`Error::Percentile`] when any `p` is NaN or outside `0..=1`.
    pub fn values_at(&self, ps: &[f64]) -> Result<Option<Vec<f64>>, Error> {
        ps.iter().try_for_each(|&p| check_percentile(p).map(drop))?;
        let count = self.count();
        if count == 0 {
            return Ok(None);
        }
        let ordered = Ordered::new(self);
        let value = |&p: &f64| {
            let spot = Spot::cont(count, p);
            spot.interpolate(ordered.at(spot.first), ordered.at(spot.second))
        };
        Ok(Some(ps.iter().map(value).collect()))
    }

    /// The share of the values that are at most `x` (NaN being above all); `None` for no values.
    ///
    /// Exact while the sketch is. Beyond, values are taken to lie evenly between the bounds of
    /// their bucket, the first and last of which end at the least and the greatest value.
    pub fn rank_of(&self, x: f64) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.at_most(x) / count as f64)
    }

    fn at_most(&self, x: f64) -> f64 {
        if x.is_nan() {
            return self.count() as f64;
        }
        let below = self.specials.neg_inf as f64;
        if x == f64::INFINITY {
            return below + self.finite_count() as f64 + self.specials.pos_inf as f64;
        }
        below
            + match &self.buckets {
                None => self.values.iter().filter(|&&value| value <= x).count() as f64,
                Some(buckets) => buckets.at_most(self.mapping, x),
            }
    }

    /// The least value (`-inf < finite < inf < NaN`); `None` for no values.
    pub fn min(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.specials.min(self.range()))
    }

    /// The greatest value (`-inf < finite < inf < NaN`); `None` for no values.
    pub fn max(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.specials.max(self.range()))
    }

    /// The least and the greatest finite value.
    fn range(&self) -> Option<(f64, f64)> {
        match &self.buckets {
            None => self.values.iter().fold(None, |range, &x| match range {
                None => Some((x, x)),
                Some((min, max)) => Some((x.min(min), x.max(max))),
            }),
            Some(buckets) => buckets.moments.range(),
        }
    }

    /// Count, sum, mean, variance and extremes of the values; exact however large the sketch is.
    pub fn stats(&self) -> Stats {
        match &self.buckets {
            None => {
                let mut moments = Moments::default();
                for &x in &self.values {
                    moments.add(x);
                }
                Stats::from_parts(self.specials, moments)
            }
            Some(buckets) => Stats::from_parts(self.specials, buckets.moments.clone()),
        }
    }

    /// [`Stats::sum`] of the values.
    pub fn sum(&self) -> Option<f64> {
        self.stats().sum()
    }

    /// [`Stats::mean`] of the values.
    pub fn mean(&self) -> Option<f64> {
        self.stats().mean()
    }

    /// [`Stats::stddev_sample`] of the values.
    pub fn stddev_sample(&self) -> Option<f64> {
        self.stats().stddev_sample()
    }

    /// [`Stats::stddev_population`] of the values.
    pub fn stddev_population(&self) -> Option<f64> {
        self.stats().stddev_population()
    }

    /// The finite values in `buckets` rows of equal width from the least to the greatest.
    ///
    /// The counts sum to the number of finite values, and are exact while the sketch is; beyond,
    /// each of its buckets counts where its estimate lies. Without finite values there is no row,
    /// and if all are equal there is one.
    ///
    /// # Errors
    /// [`Error::HistogramBuckets`] for no row or more than [`MAX_HISTOGRAM_BUCKETS`].
    pub fn histogram(&self, buckets: usize) -> Result<Vec<HistogramRow>, Error> {
        if !(1..=MAX_HISTOGRAM_BUCKETS).contains(&buckets) {
            return Err(Error::HistogramBuckets(buckets));
        }
        let Some((min, max)) = self.range() else {
            return Ok(Vec::new());
        };
        let mut rows = empty_rows(min, max, if min < max { buckets } else { 1 });
        for (value, count) in self.weighted_values() {
            let row = rows.partition_point(|row| row.lower <= value).max(1) - 1;
            rows[row].count += count;
        }
        Ok(rows)
    }

    /// The finite values in no order, each with how often it occurs: the values themselves while the
    /// sketch is exact, then the estimate of each bucket.
    pub fn weighted_values(&self) -> Vec<(f64, u64)> {
        match &self.buckets {
            None => self.values.iter().map(|&x| (x, 1)).collect(),
            Some(buckets) => {
                let sorted = buckets.table.sorted().into_iter();
                let weigh = |(key, count)| (buckets.estimate(self.mapping, key), count);
                sorted.map(weigh).collect()
            }
        }
    }
}

fn empty_rows(min: f64, max: f64, buckets: usize) -> Vec<HistogramRow> {
    let bound = |i: usize| match i {
        0 => min,
        _ if i == buckets => max,
        _ => {
            let share = i as f64 / buckets as f64;
            // Not min + share * (max - min): that difference may overflow.
            (min * (1.0 - share) + max * share).clamp(min, max)
        }
    };
    (0..buckets)
        .map(|i| HistogramRow {
            lower: bound(i),
            upper: bound(i + 1),
            count: 0,
        })
        .collect()
}

impl Buckets {
    /// The estimate for a bucket; no value lies outside the least and the greatest one.
    fn estimate(&self, mapping: Mapping, key: Key) -> f64 {
        let estimate = mapping.estimate(key, self.table.level());
        estimate.clamp(self.moments.min, self.moments.max)
    }

    /// How many values are at most the finite or negative infinite `x`.
    fn at_most(&self, mapping: Mapping, x: f64) -> f64 {
        let (min, max) = (self.moments.min, self.moments.max);
        if x < min {
            return 0.0;
        }
        if x >= max {
            return self.moments.count as f64;
        }
        let level = self.table.level();
        let key = mapping.key(x, level);
        let mut total = 0.0;
        for (other, count) in self.table.sorted() {
            if other > key {
                break;
            }
            let share = if other == key {
                let (low, high) = mapping.bounds(key, level);
                share_below(x, low.max(min), high.min(max))
            } else {
                1.0
            };
            total += share * count as f64;
        }
        total
    }
}

/// The share of an even distribution over `low..=high` that is at most `x`.
fn share_below(x: f64, low: f64, high: f64) -> f64 {
    if low < high {
        ((x - low) / (high - low)).clamp(0.0, 1.0)
    } else {
        1.0
    }
}

/// The values of a sketch by rank.
struct Ordered<'a> {
    sketch: &'a PercentileSketch,
    finite: Finite<'a>,
}

enum Finite<'a> {
    Values(Vec<f64>),
    /// For each bucket its number and how many values lie in it and below.
    Buckets(&'a Buckets, Vec<(Key, u64)>),
}

impl<'a> Ordered<'a> {
    fn new(sketch: &'a PercentileSketch) -> Self {
        let finite = match &sketch.buckets {
            None => {
                let mut values = sketch.values.clone();
                values.sort_unstable_by(f64::total_cmp);
                Finite::Values(values)
            }
            Some(buckets) => {
                let mut sorted = buckets.table.sorted();
                let mut total = 0;
                for (_, count) in &mut sorted {
                    total += *count;
                    *count = total;
                }
                Finite::Buckets(buckets, sorted)
            }
        };
        Self { sketch, finite }
    }

    /// The value of a rank, counted from 0, in the order `-inf < finite < inf < NaN`.
    fn at(&self, rank: u64) -> f64 {
        let specials = self.sketch.specials;
        let Some(rank) = rank.checked_sub(specials.neg_inf) else {
            return f64::NEG_INFINITY;
        };
        match rank.checked_sub(self.sketch.finite_count()) {
            None => self.finite_at(rank),
            Some(above) if above < specials.pos_inf => f64::INFINITY,
            Some(_) => f64::NAN,
        }
    }

    fn finite_at(&self, rank: u64) -> f64 {
        match &self.finite {
            Finite::Values(values) => usize::try_from(rank)
                .ok()
                .and_then(|rank| values.get(rank).copied())
                .unwrap_or(f64::NAN),
            Finite::Buckets(buckets, sorted) => {
                if rank == 0 {
                    return buckets.moments.min;
                }
                if rank + 1 == buckets.moments.count {
                    return buckets.moments.max;
                }
                let bucket = sorted.partition_point(|&(_, through)| through <= rank);
                sorted.get(bucket).map_or(buckets.moments.max, |&(key, _)| {
                    buckets.estimate(self.sketch.mapping, key)
                })
            }
        }
    }
}
