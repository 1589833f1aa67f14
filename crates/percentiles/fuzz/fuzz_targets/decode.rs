//! Stored forms that nobody has written: none may crash, and what is accepted must be canonical.
//!
//! The first byte chooses the decoder. `fuzz/run.sh SECONDS` runs it on the stable toolchain.

#![no_main]

use libfuzzer_sys::fuzz_target;
use percentiles::sketch::{MAX_BYTES, MAX_COUNT};
use percentiles::{DistinctSketch, PercentileSketch, Stats};

const PERCENTILES: [f64; 7] = [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0];

fuzz_target!(|data: &[u8]| {
    if let Some((choice, bytes)) = data.split_first() {
        match choice % 3 {
            0 => percentile_sketch(bytes),
            1 => stats(bytes),
            _ => distinct_sketch(bytes),
        }
    }
});

fn percentile_sketch(bytes: &[u8]) {
    let Ok(sketch) = PercentileSketch::from_bytes(bytes) else {
        assert!(PercentileSketch::default().merge_bytes(bytes).is_err());
        return;
    };
    assert!(bytes.len() <= MAX_BYTES);
    assert_eq!(sketch.to_bytes(), bytes);
    query(&sketch);
    for count in [0, 1, 249, 300] {
        let mut other = PercentileSketch::new(sketch.alpha().clamp(1e-4, 0.5)).expect("in range");
        (0..count).for_each(|i| other.insert(f64::from(i) - 100.0));
        let expected = other.count() + sketch.count();
        let result = other.merge_bytes(bytes);
        if result.is_ok() {
            assert_eq!(other.count(), expected);
            query(&other);
            assert!(other.to_bytes().len() <= MAX_BYTES);
            let again = PercentileSketch::from_bytes(&other.to_bytes()).expect("own bytes");
            assert_eq!(again.to_bytes(), other.to_bytes());
        }
    }
    let mut twice = sketch.clone();
    assert_eq!(twice.merge(&sketch).is_ok(), sketch.count() <= MAX_COUNT / 2);
}

fn query(sketch: &PercentileSketch) {
    let values = sketch.values_at(&PERCENTILES).expect("percentiles in range");
    assert_eq!(values.is_some(), sketch.count() > 0);
    for x in [f64::NEG_INFINITY, -1.0, 0.0, 1e-310, 3.5, f64::INFINITY, f64::NAN] {
        let rank = sketch.rank_of(x);
        assert!(rank.is_none_or(|rank| (0.0..=1.0 + 1e-9).contains(&rank)), "{rank:?}");
    }
    let rows = sketch.histogram(7).expect("seven is allowed");
    assert!(rows.iter().map(|row| row.count).sum::<u64>() <= sketch.count());
    let _ = (sketch.min(), sketch.max(), sketch.error());
    statistics(&sketch.stats());
}

fn statistics(stats: &Stats) {
    let _ = (stats.sum(), stats.mean(), stats.min(), stats.max());
    let spread = stats.stddev_population().unwrap_or(0.0);
    assert!(spread.is_nan() || spread >= 0.0);
    let _ = (stats.variance_sample(), stats.stddev_sample());
}

fn stats(bytes: &[u8]) {
    if let Ok(stats) = Stats::from_bytes(bytes) {
        assert_eq!(stats.to_bytes(), bytes);
        statistics(&stats);
        let mut twice = stats.clone();
        if twice.merge(&stats).is_ok() {
            statistics(&twice);
            twice.add(1.5);
            twice.add(-0.25);
            statistics(&twice);
        }
    }
}

fn distinct_sketch(bytes: &[u8]) {
    if let Ok(sketch) = DistinctSketch::from_bytes(bytes) {
        assert_eq!(sketch.to_bytes(), bytes);
        let mut other = DistinctSketch::new().expect("constant size");
        (0..2000).for_each(|value| other.insert_u64(value));
        other.merge(&sketch);
        let mut more = sketch.clone();
        (0..2000).for_each(|value| more.insert_u64(value));
        assert_eq!(more.to_bytes(), other.to_bytes());
        let _ = more.estimate();
    }
}
