//! The percentile sketch against sorting, over adversarial distributions, orders and splits.

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
use percentiles::sketch::{DEFAULT_ALPHA, EXACT_MAX, MAX_BYTES};
use percentiles::{Error, PercentileSketch};
use proptest::prelude::*;

const PERCENTILES: [f64; 11] = [
    0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0,
];

fn sketch_of(values: &[f64]) -> PercentileSketch {
    let mut sketch = PercentileSketch::default();
    values.iter().for_each(|&x| sketch.insert(x));
    sketch
}

/// Asserts that every percentile is within the guarantee, interpolation by interpolation.
fn assert_guarantee(sketch: &PercentileSketch, sorted: &[f64], ps: &[f64]) {
    let estimates = sketch.values_at(ps).unwrap().unwrap();
    let error = sketch.error();
    for (&p, estimate) in ps.iter().zip(estimates) {
        let rank = p * (sorted.len() - 1) as f64;
        let (lo, hi) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
        let t = rank - rank.floor();
        let exact = if rank == rank.floor() {
            lo
        } else {
            lo + t * (hi - lo)
        };
        if sketch.is_exact() {
            assert_eq!(estimate.to_bits(), exact.to_bits(), "p {p}");
        } else if exact.is_finite() {
            let size = (1.0 - t) * lo.abs() + t * hi.abs();
            let slack = 1e-15 * size + f64::from_bits(2);
            let is_within = (estimate - exact).abs() <= error * size + slack;
            assert!(is_within, "p {p}: {estimate} for {exact}, error {error}");
            if lo.signum() == hi.signum() {
                assert!((estimate - exact).abs() <= error * exact.abs() + slack);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn estimates_keep_the_guarantee(values in distribution(0..3000), p in 0.0..=1.0) {
        prop_assume!(!values.is_empty());
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let sketch = sketch_of(&values);
        prop_assert_eq!(sketch.is_exact(), values.len() <= EXACT_MAX);
        assert_guarantee(&sketch, &sorted, &PERCENTILES);
        assert_guarantee(&sketch, &sorted, &[p]);
        prop_assert_eq!(sketch.min(), Some(sorted[0]));
        prop_assert_eq!(sketch.max(), sorted.last().copied());
    }

    #[test]
    fn any_order_split_and_way_of_merging_gives_the_same_bytes(
        values in distribution(0..3000),
        seed in any::<u64>(),
        cuts in prop::collection::vec(0.0..1.0, 0..5),
    ) {
        let bytes = sketch_of(&values).to_bytes();
        let shuffled = shuffled(&values, seed);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| (cut * values.len() as f64) as usize).collect();
        ends.push(values.len());
        ends.sort_unstable();
        let (mut forward, mut backward) = (PercentileSketch::default(), PercentileSketch::default());
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let parts: Vec<_> = starts.zip(&ends).map(|(start, &end)| sketch_of(&shuffled[start..end])).collect();
        for part in &parts {
            forward.merge(part).unwrap();
        }
        for part in parts.iter().rev() {
            backward.merge_bytes(&part.to_bytes()).unwrap();
        }
        prop_assert_eq!(&sketch_of(&shuffled).to_bytes(), &bytes);
        prop_assert_eq!(&forward.to_bytes(), &bytes);
        prop_assert_eq!(&backward.to_bytes(), &bytes);
    }

    #[test]
    fn stored_forms_are_read_back(values in distribution(0..2000), alpha in 1e-4..=0.5) {
        let mut sketch = PercentileSketch::new(alpha).unwrap();
        values.iter().for_each(|&x| sketch.insert(x));
        sketch.insert(f64::NAN);
        let bytes = sketch.to_bytes();
        prop_assert!(bytes.len() <= MAX_BYTES);
        let read = PercentileSketch::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&read.to_bytes(), &bytes);
        let answers = |sketch: &PercentileSketch| format!("{:?}", sketch.values_at(&PERCENTILES));
        prop_assert_eq!(answers(&read), answers(&sketch));
    }

    #[test]
    fn histograms_count_every_finite_value(values in distribution(0..1500), buckets in 1_usize..50) {
        let sketch = sketch_of(&values);
        let rows = sketch.histogram(buckets).unwrap();
        prop_assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), values.len() as u64);
        prop_assert!(rows.windows(2).all(|pair| pair[0].upper == pair[1].lower));
        if sketch.is_exact() {
            for (i, row) in rows.iter().enumerate() {
                let is_last = i + 1 == rows.len();
                let holds = |x: f64| row.lower <= x && (x < row.upper || is_last && x <= row.upper);
                prop_assert_eq!(row.count, values.iter().filter(|&&x| holds(x)).count() as u64);
            }
        }
    }

    #[test]
    fn ranks_are_exact_outside_the_bucket_of_the_value(values in distribution(1..1500), x in any::<f64>()) {
        let sketch = sketch_of(&values);
        let rank = sketch.rank_of(x).unwrap() * values.len() as f64;
        let share = if sketch.is_exact() { 0.0 } else { 3.0 * sketch.error() };
        let near = |y: f64| share > 0.0 && (y - x).abs() <= share * x.abs().max(y.abs());
        let doubtful = values.iter().filter(|&&y| near(y)).count() as f64;
        let exact = if x.is_nan() { values.len() } else { values.iter().filter(|&&y| y <= x).count() };
        prop_assert!((rank - exact as f64).abs() <= doubtful + 1e-6);
    }

    #[test]
    fn corrupt_bytes_are_refused_or_canonical(
        values in distribution(0..600),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sketch_of(&values).to_bytes();
        prop_assert!(PercentileSketch::from_bytes(&bytes[..length.index(bytes.len())]).is_err());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(sketch) = PercentileSketch::from_bytes(&bytes) {
            prop_assert_eq!(sketch.to_bytes(), bytes);
            prop_assert_eq!(sketch.values_at(&PERCENTILES).unwrap().is_some(), sketch.count() > 0);
            let _ = (sketch.stats().variance_sample(), sketch.rank_of(1.0), sketch.histogram(3));
        }
    }

    #[test]
    fn random_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = PercentileSketch::from_bytes(&bytes);
        bytes.splice(0..0, [1, 35]);
        let _ = PercentileSketch::from_bytes(&bytes);
    }
}

#[test]
fn a_million_values_keep_one_percent_in_two_kilobytes() {
    for sigma in [0.1, 1.0, 2.0] {
        let mut values = distributions::lognormal(1_000_000, sigma);
        let sketch = sketch_of(&values);
        values.sort_by(f64::total_cmp);
        assert!(
            sketch.error() <= DEFAULT_ALPHA,
            "sigma {sigma}: {}",
            sketch.error()
        );
        assert!(
            sketch.to_bytes().len() <= 2048,
            "sigma {sigma}: {}",
            sketch.to_bytes().len()
        );
        let ps: Vec<f64> = (0..=1000).map(|i| f64::from(i) / 1000.0).collect();
        assert_guarantee(&sketch, &values, &ps);
    }
}

#[test]
fn sketches_of_different_levels_merge() {
    let wide: Vec<f64> = (-300..300)
        .flat_map(|e| (1..20).map(move |i| f64::from(i) * 10_f64.powi(e)))
        .collect();
    let narrow: Vec<f64> = (0..2000).map(|i| 1.0 + f64::from(i) / 1e4).collect();
    let (mut left, mut right) = (sketch_of(&wide), sketch_of(&narrow));
    assert!(left.error() > right.error());
    let all = sketch_of(&[wide, narrow].concat());
    let copy = left.clone();
    left.merge(&right).unwrap();
    right.merge(&copy).unwrap();
    assert_eq!(left, all);
    assert_eq!(right, all);
}

#[test]
fn sketches_of_different_errors_do_not_merge() {
    let mut left = PercentileSketch::new(0.01).unwrap();
    let right = PercentileSketch::new(0.02).unwrap();
    assert!(matches!(
        left.merge(&right),
        Err(Error::AlphaMismatch { .. })
    ));
    assert!(matches!(
        left.merge_bytes(&right.to_bytes()),
        Err(Error::AlphaMismatch { .. })
    ));
    for alpha in [0.0, 0.51, -1.0, f64::NAN] {
        assert!(PercentileSketch::new(alpha).is_err());
    }
}

#[test]
fn specials_have_their_place_in_the_order() {
    let mut sketch = sketch_of(&[f64::NAN, f64::INFINITY, 1.0, f64::NEG_INFINITY, -0.0]);
    assert_eq!(sketch.value_at(0.0), Ok(Some(f64::NEG_INFINITY)));
    assert_eq!(sketch.value_at(0.25), Ok(Some(0.0)));
    assert_eq!(sketch.value_at(0.75), Ok(Some(f64::INFINITY)));
    assert!(sketch.value_at(1.0).unwrap().unwrap().is_nan());
    assert!(sketch.max().unwrap().is_nan());
    assert_eq!(sketch.min(), Some(f64::NEG_INFINITY));
    assert_eq!(sketch.rank_of(f64::NEG_INFINITY), Some(0.2));
    assert_eq!(sketch.rank_of(0.5), Some(0.4));
    assert_eq!(sketch.rank_of(f64::INFINITY), Some(0.8));
    assert_eq!(sketch.rank_of(f64::NAN), Some(1.0));
    assert!(sketch.mean().unwrap().is_nan());
    for i in 0..1000 {
        sketch.insert(f64::from(i));
    }
    assert_eq!(sketch.count(), 1005);
    assert_eq!(sketch.value_at(0.0), Ok(Some(f64::NEG_INFINITY)));
    assert_eq!(
        sketch
            .histogram(4)
            .unwrap()
            .iter()
            .map(|row| row.count)
            .sum::<u64>(),
        1002
    );
}

#[test]
fn an_empty_sketch_answers_nothing() {
    let sketch = PercentileSketch::default();
    assert_eq!(sketch.value_at(0.5), Ok(None));
    assert_eq!(sketch.value_at(2.0), Err(Error::Percentile(2.0)));
    assert_eq!(
        (sketch.min(), sketch.mean(), sketch.rank_of(1.0)),
        (None, None, None)
    );
    assert_eq!(sketch.histogram(3), Ok(vec![]));
    assert!(sketch.histogram(0).is_err());
}
