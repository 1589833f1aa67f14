//! How many things went on at the same time: a sweep over intervals; knows nothing of Postgres.
//!
//! An interval holds its start and not its end: of two runs of which one ends when the other starts, one runs at any
//! time. An interval without a length holds no time at all and does not count.
//!
//! Times are integers of any unit and origin.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::float_cmp))]

/// What went on in one bucket, which holds its lower edge and not its upper one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The greatest number of intervals that hold one point of the bucket.
    pub peak: u64,
    /// The first point of the bucket at which there are so many; none where the peak is 0.
    pub peak_at: Option<i64>,
    /// The lengths of the intervals within the bucket, all together.
    pub total: i128,
    /// How much of the bucket at least one interval holds.
    pub occupied: i128,
    /// The length of the bucket.
    pub length: i128,
}

impl Bucket {
    /// How many intervals hold a point of the bucket in the mean; none for a bucket without a length.
    pub fn mean(&self) -> Option<f64> {
        (self.length > 0).then(|| self.total as f64 / self.length as f64)
    }

    /// Which share of the bucket at least one interval holds, 0 to 1; none for a bucket without a length.
    pub fn utilization(&self) -> Option<f64> {
        (self.length > 0).then(|| self.occupied as f64 / self.length as f64)
    }
}

/// Buckets between each two neighbouring edges, which ascend; a bucket whose edges do not is empty.
///
/// Takes time for sorting the intervals, whatever number of buckets they span.
pub fn sweep(intervals: impl IntoIterator<Item = (i64, i64)>, edges: &[i64]) -> Vec<Bucket> {
    let (mut starts, mut ends): (Vec<i64>, Vec<i64>) = intervals
        .into_iter()
        .filter(|(start, end)| start < end)
        .unzip();
    starts.sort_unstable();
    ends.sort_unstable();
    let mut events = Events {
        starts: &starts,
        ends: &ends,
        level: 0,
    };
    edges
        .windows(2)
        .map(|pair| match pair {
            &[lower, upper] if lower < upper => events.bucket(lower, upper),
            _ => Bucket::default(),
        })
        .collect()
}

/// What is still to come, in order, and how many intervals are open.
struct Events<'a> {
    starts: &'a [i64],
    ends: &'a [i64],
    level: u64,
}

impl Events<'_> {
    fn next(&self) -> Option<i64> {
        match (self.starts.first(), self.ends.first()) {
            (Some(start), Some(end)) => Some(*start.min(end)),
            // Each interval ends after it started.
            (None, end) => end.copied(),
            (start, None) => start.copied(),
        }
    }

    /// Everything up to a time, that time included.
    fn pass(&mut self, time: i64) {
        let started = self.starts.partition_point(|start| *start <= time);
        let ended = self.ends.partition_point(|end| *end <= time);
        self.starts = self.starts.get(started..).unwrap_or_default();
        self.ends = self.ends.get(ended..).unwrap_or_default();
        // Whatever has ended has started before.
        self.level = (self.level + started as u64).saturating_sub(ended as u64);
    }

    /// As `pass`, for the next event: how many happen at the same time is seldom worth a binary search.
    fn pass_next(&mut self, time: i64) {
        while let [end, rest @ ..] = self.ends
            && *end <= time
        {
            self.ends = rest;
            self.level = self.level.saturating_sub(1);
        }
        while let [start, rest @ ..] = self.starts
            && *start <= time
        {
            self.starts = rest;
            self.level += 1;
        }
    }

    fn bucket(&mut self, lower: i64, upper: i64) -> Bucket {
        self.pass(lower);
        let mut bucket = Bucket {
            length: i128::from(upper) - i128::from(lower),
            ..Bucket::default()
        };
        let mut from = lower;
        loop {
            if self.level > bucket.peak {
                bucket.peak = self.level;
                bucket.peak_at = Some(from);
            }
            let to = self.next().map_or(upper, |time| time.min(upper));
            let length = i128::from(to) - i128::from(from);
            bucket.total += length * i128::from(self.level);
            if self.level > 0 {
                bucket.occupied += length;
            }
            if to == upper {
                return bucket;
            }
            self.pass_next(to);
            from = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, sweep};

    fn one(intervals: &[(i64, i64)], lower: i64, upper: i64) -> Bucket {
        sweep(intervals.iter().copied(), &[lower, upper])[0]
    }

    #[test]
    fn nothing() {
        let empty = one(&[], 0, 10);
        assert_eq!((empty.peak, empty.peak_at), (0, None));
        assert_eq!((empty.mean(), empty.utilization()), (Some(0.0), Some(0.0)));
        assert_eq!(sweep([(0, 1)], &[]), vec![]);
        assert_eq!(sweep([(0, 1)], &[5]), vec![]);
    }

    #[test]
    fn one_that_spans_the_bucket() {
        let bucket = one(&[(-5, 50)], 0, 10);
        assert_eq!((bucket.peak, bucket.peak_at), (1, Some(0)));
        assert_eq!((bucket.total, bucket.occupied), (10, 10));
    }

    #[test]
    fn an_end_makes_room_for_a_start() {
        let bucket = one(&[(0, 5), (5, 9)], 0, 10);
        assert_eq!((bucket.peak, bucket.peak_at), (1, Some(0)));
        assert_eq!(
            (bucket.mean(), bucket.utilization()),
            (Some(0.9), Some(0.9))
        );
    }

    #[test]
    fn the_first_peak_counts() {
        let bucket = one(&[(0, 4), (2, 4), (6, 8), (6, 8)], 0, 10);
        assert_eq!((bucket.peak, bucket.peak_at), (2, Some(2)));
        assert_eq!((bucket.total, bucket.occupied), (10, 6));
    }

    #[test]
    fn what_has_no_length_or_a_negative_one_does_not_count() {
        assert_eq!(one(&[(3, 3), (5, 4)], 0, 10).peak, 0);
    }

    #[test]
    fn edges_that_do_not_ascend_make_empty_buckets() {
        let buckets = sweep([(0, 10)], &[0, 5, 5, 10]);
        assert_eq!(buckets[1], Bucket::default());
        assert_eq!(buckets[1].mean(), None);
        assert_eq!((buckets[0].total, buckets[2].total), (5, 5));
    }

    #[test]
    fn what_never_ended_and_the_greatest_times() {
        let bucket = one(&[(i64::MIN, i64::MAX)], i64::MIN, i64::MAX);
        assert_eq!((bucket.peak, bucket.mean()), (1, Some(1.0)));
    }
}
