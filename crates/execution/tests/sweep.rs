//! The sweep against counting at each point of time, for small integer times.

use execution::sweep;
use proptest::collection::vec;
use proptest::prelude::*;

fn at(intervals: &[(i64, i64)], time: i64) -> u64 {
    let held = |(start, end): &&(i64, i64)| *start <= time && time < *end;
    intervals.iter().filter(held).count() as u64
}

proptest! {
    #[test]
    fn agrees_with_counting(
        intervals in vec((-20i64..40, -20i64..40), 0..60),
        mut edges in vec(-30i64..50, 0..8),
    ) {
        edges.sort_unstable();
        let buckets = sweep(intervals.iter().copied(), &edges);
        prop_assert_eq!(buckets.len(), edges.len().saturating_sub(1));
        for (pair, bucket) in edges.windows(2).zip(&buckets) {
            let levels: Vec<u64> = (pair[0]..pair[1]).map(|time| at(&intervals, time)).collect();
            let peak = levels.iter().copied().max().unwrap_or(0);
            prop_assert_eq!(bucket.peak, peak);
            let first = levels.iter().position(|level| *level == peak && peak > 0);
            prop_assert_eq!(bucket.peak_at, first.map(|place| pair[0] + i64::try_from(place).unwrap_or(i64::MAX)));
            prop_assert_eq!(bucket.total, levels.iter().map(|level| i128::from(*level)).sum::<i128>());
            prop_assert_eq!(bucket.occupied, levels.iter().filter(|level| **level > 0).count() as i128);
            prop_assert_eq!(bucket.length, i128::from(pair[1] - pair[0]));
        }
    }

    #[test]
    fn buckets_add_up(intervals in vec((0i64..1000, 0i64..1000), 0..100), cuts in vec(0i64..1000, 0..10)) {
        let mut edges = [vec![0, 1000], cuts].concat();
        edges.sort_unstable();
        let whole = sweep(intervals.iter().copied(), &[0, 1000])[0];
        let parts = sweep(intervals.iter().copied(), &edges);
        prop_assert_eq!(parts.iter().map(|part| part.total).sum::<i128>(), whole.total);
        prop_assert_eq!(parts.iter().map(|part| part.occupied).sum::<i128>(), whole.occupied);
        prop_assert_eq!(parts.iter().map(|part| part.peak).max().unwrap_or(0), whole.peak);
    }
}
