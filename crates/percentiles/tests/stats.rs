//! One-pass statistics against exact and two-pass references.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_for_each,
    clippy::trivially_copy_pass_by_ref,
    reason = "tests: inputs are known, and references are to be short"
)]

mod distributions;

use distributions::{distribution, shuffled};
use percentiles::Stats;
use proptest::prelude::*;

fn stats_of(values: &[f64]) -> Stats {
    let mut stats = Stats::new();
    values.iter().for_each(|&x| stats.add(x));
    stats
}

/// Variance in two passes, on values scaled so that no square overflows.
fn two_pass(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

proptest! {
    #[test]
    fn any_order_and_split_gives_the_same_bytes(
        values in distribution(0..500), seed in any::<u64>(), split in 0.0..1.0,
    ) {
        let shuffled = shuffled(&values, seed);
        let (left, right) = shuffled.split_at((values.len() as f64 * split) as usize);
        let mut merged = stats_of(left);
        merged.merge(&stats_of(right)).unwrap();
        prop_assert_eq!(merged.to_bytes(), stats_of(&values).to_bytes());
        let read = Stats::from_bytes(&merged.to_bytes()).unwrap();
        prop_assert_eq!(read.variance_sample(), merged.variance_sample());
        prop_assert_eq!(read, merged);
    }

    #[test]
    fn agrees_with_two_passes(values in prop::collection::vec(-1e3..1e3, 2..500), offset in -1e6..1e6) {
        let values: Vec<f64> = values.iter().map(|x: &f64| x + offset).collect();
        let (variance, expected) = (stats_of(&values).variance_sample().unwrap(), two_pass(&values));
        prop_assert!((variance - expected).abs() <= 1e-6 * expected, "{variance} {expected}");
    }

    #[test]
    fn sums_of_integers_are_exact(values in prop::collection::vec(-1_i64 << 52..1 << 52, 1..300)) {
        let floats: Vec<f64> = values.iter().map(|&x| x as f64).collect();
        let sum: i128 = values.iter().copied().map(i128::from).sum();
        prop_assert_eq!(stats_of(&floats).sum(), Some(sum as f64));
    }

    #[test]
    fn corrupt_bytes_are_refused_or_canonical(
        values in distribution(0..50),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = stats_of(&values).to_bytes();
        let at = at.index(bytes.len());
        prop_assert!(Stats::from_bytes(&bytes[..at]).is_err());
        bytes[at] = byte;
        if let Ok(stats) = Stats::from_bytes(&bytes) {
            prop_assert_eq!(stats.to_bytes(), bytes);
            let _ = (stats.sum(), stats.mean(), stats.stddev_sample());
        }
    }
}

#[test]
fn nothing_cancels() {
    let values = [1e300, 1.0, -1e300, 1e-300];
    assert_eq!(stats_of(&values).sum(), Some(1.0));
    let far: Vec<f64> = (0..1000).map(|i| 1e15 + f64::from(i % 2)).collect();
    assert_eq!(stats_of(&far).variance_population(), Some(0.25));
    assert_eq!(stats_of(&[0.1; 10]).variance_sample(), Some(0.0));
}

#[test]
fn nothing_overflows_but_the_sum_itself() {
    let stats = stats_of(&[f64::MAX, f64::MAX, f64::MIN, f64::MAX]);
    assert_eq!(stats.sum(), Some(f64::INFINITY));
    assert_eq!(stats.mean(), Some(f64::MAX / 2.0));
    assert_eq!(stats.stddev_sample(), Some(f64::MAX));
    assert_eq!(stats_of(&[5e-324, 5e-324]).mean(), Some(5e-324));
}

#[test]
fn specials_follow_postgres() {
    let inf = f64::INFINITY;
    assert_eq!(stats_of(&[1.0, inf]).mean(), Some(inf));
    assert_eq!(stats_of(&[1.0, -inf]).sum(), Some(-inf));
    assert!(stats_of(&[inf, -inf]).sum().unwrap().is_nan());
    assert!(stats_of(&[1.0, f64::NAN]).mean().unwrap().is_nan());
    assert!(stats_of(&[1.0, inf]).stddev_population().unwrap().is_nan());
    assert_eq!(stats_of(&[f64::NAN, 1.0]).min(), Some(1.0));
    assert!(stats_of(&[f64::NAN, inf]).max().unwrap().is_nan());
}

#[test]
fn few_values_have_no_spread() {
    assert_eq!(stats_of(&[]).sum(), None);
    assert_eq!(stats_of(&[]).variance_population(), None);
    assert_eq!(stats_of(&[2.0]).variance_sample(), None);
    assert_eq!(stats_of(&[2.0]).variance_population(), Some(0.0));
    assert_eq!(stats_of(&[2.0, 4.0]).variance_sample(), Some(2.0));
}
