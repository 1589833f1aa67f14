//! Finite values to test against: usual, degenerate and adversarial.

use proptest::prelude::*;
use std::ops::Range;

/// One of many kinds of distributions, in one of three orders.
pub fn distribution(size: Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let many = |value: BoxedStrategy<f64>| prop::collection::vec(value, size.clone());
    let kind = prop_oneof![
        many((-1e6..1e6).boxed()),
        many(Just(42.5).boxed()),
        many(prop_oneof![Just(-1.0), Just(3.0)].boxed()),
        many((0..10_u8).prop_map(f64::from).boxed()),
        many((1e-9..1.0_f64).prop_map(|u| u.powf(-1.5)).boxed()),
        many((-30.0..30.0_f64).prop_map(f64::exp).boxed()),
        many(
            (-700.0..700.0_f64)
                .prop_map(|e| e.exp() * e.signum())
                .boxed()
        ),
        many((0..1_u64 << 52).prop_map(f64::from_bits).boxed()),
        many((0..100_u64).prop_map(f64::from_bits).boxed()),
        many(
            any::<f64>()
                .prop_filter("finite", |x| x.is_finite())
                .boxed()
        ),
        many((1.0..1.000_001).boxed()),
    ];
    (kind, 0..3_u8).prop_map(|(mut values, order)| {
        match order {
            0 => values.sort_by(f64::total_cmp),
            1 => values.sort_by(|a, b| b.total_cmp(a)),
            _ => {}
        }
        // As the sketch keeps them; -0.0 has tests of its own.
        values.iter_mut().for_each(|x| *x += 0.0);
        values
    })
}

/// Evenly distributed 64-bit numbers (splitmix64, Steele et al. 2014).
fn random(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The values in another order (Fisher and Yates).
#[allow(dead_code, reason = "not every test file uses it")]
pub fn shuffled(values: &[f64], seed: u64) -> Vec<f64> {
    let mut next = random(seed);
    let mut values = values.to_vec();
    for i in (1..values.len()).rev() {
        values.swap(i, (next() % (i as u64 + 1)) as usize);
    }
    values
}

/// Log-normal values (Box and Muller 1958).
#[allow(dead_code, reason = "not every test file uses it")]
pub fn lognormal(count: usize, sigma: f64) -> Vec<f64> {
    let mut next = random(7);
    let mut uniform = move || ((next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let mut normal = move || {
        let (u, v) = (uniform(), uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    (0..count).map(|_| (sigma * normal()).exp()).collect()
}
