//! Selection against sorting, bit for bit.

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

use distributions::{distribution, lognormal, shuffled};
use percentiles::exact::{percentile_cont, percentiles_cont, percentiles_disc};
use proptest::prelude::*;
use std::cmp::Ordering;

/// Postgres's order: NaN above all and equal to itself, zeros equal.
fn by_postgres(a: &f64, b: &f64) -> Ordering {
    let by_nan = || a.is_nan().cmp(&b.is_nan());
    a.partial_cmp(b).unwrap_or_else(by_nan)
}

/// `percentile_cont_final` of `orderedsetaggs.c`, on sorted values.
fn reference_cont(sorted: &[f64], p: f64) -> f64 {
    let rank = p * (sorted.len() - 1) as f64;
    let (first, second) = (rank.floor(), rank.ceil());
    let (lo, hi) = (sorted[first as usize], sorted[second as usize]);
    if first == second {
        lo
    } else {
        lo + (rank - first) * (hi - lo)
    }
}

/// `percentile_disc_final`, on sorted values.
fn reference_disc(sorted: &[f64], p: f64) -> f64 {
    let row = ((p * sorted.len() as f64).ceil() as usize).max(1);
    sorted[row - 1]
}

fn assert_same(values: &[f64], ps: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(by_postgres);
    let cont = percentiles_cont(&mut values.to_vec(), ps).unwrap().unwrap();
    let disc = percentiles_disc(&mut values.to_vec(), ps).unwrap().unwrap();
    for (i, &p) in ps.iter().enumerate() {
        for (found, expected) in [
            (cont[i], reference_cont(&sorted, p)),
            (disc[i], reference_disc(&sorted, p)),
        ] {
            let is_same =
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(is_same, "p {p}: {found} for {expected}");
        }
    }
}

fn percentiles() -> impl Strategy<Value = Vec<f64>> {
    let p = prop_oneof![0.0..=1.0, Just(0.0), Just(1.0), Just(0.5), Just(0.99)];
    prop::collection::vec(p, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn selection_equals_sorting(values in distribution(1..2000), ps in percentiles()) {
        assert_same(&values, &ps);
    }

    #[test]
    fn specials_are_ordered_as_in_postgres(
        mut values in distribution(0..300),
        specials in prop::collection::vec(
            prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            1..100,
        ),
        ps in percentiles(),
        seed in any::<u64>(),
    ) {
        values.extend(specials);
        assert_same(&shuffled(&values, seed), &ps);
    }
}

#[test]
fn large_inputs_of_every_shape_equal_sorting() {
    let random = lognormal(200_000, 1.5);
    let mut sorted = random.clone();
    sorted.sort_by(f64::total_cmp);
    let reversed: Vec<f64> = sorted.iter().rev().copied().collect();
    let discrete: Vec<f64> = random.iter().map(|x| x.round()).collect();
    let two_points: Vec<f64> = random
        .iter()
        .map(|&x| if x < 1.0 { -1.0 } else { 1.0 })
        .collect();
    let narrow: Vec<f64> = random.iter().map(|x| 1e9 + x.fract() * 1e-6).collect();
    let mut outliers = vec![1.0; 200_000];
    outliers
        .iter_mut()
        .step_by(1000)
        .for_each(|x| *x = f64::INFINITY);
    let mut nans = random.clone();
    nans.iter_mut().step_by(3).for_each(|x| *x = f64::NAN);
    let organ_pipe: Vec<f64> = sorted.iter().chain(&reversed).copied().collect();
    let ps = [0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0];
    let many: Vec<f64> = (0..=300).map(|i| f64::from(i) / 300.0).collect();
    for values in [
        random, sorted, reversed, discrete, two_points, narrow, outliers, nans, organ_pipe,
    ] {
        assert_same(&values, &ps);
        assert_same(&values, &[0.5]);
        assert_same(&values, &many);
    }
}

#[test]
fn negative_zero_equals_zero() {
    for p in [0.0, 0.3, 1.0] {
        assert!(percentile_cont(&mut [0.0, -0.0, 0.0], p).unwrap() == Some(0.0));
    }
}
