//! Against values from other software, against brute force, and against chance itself.
#![allow(clippy::unwrap_used, clippy::float_cmp)] // ties are of equal values

use comparison::{Finding, Sample, mann_whitney, two_proportions, welch};
use proptest::prelude::*;

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} instead of {b}");
}

#[test]
fn shares() {
    // By hand: 80/100 and 65/100, pooled 0.725, z = 0.15 / sqrt(0.725 * 0.275 * 0.02).
    let found = two_proportions(80, 100, 65, 100).unwrap();
    close(found.difference, 0.15, 1e-12);
    close(
        found.statistic,
        0.15 / (0.725_f64 * 0.275 * 0.02).sqrt(),
        1e-12,
    );
    close(found.p_value, 0.017_528_861_260, 1e-9);
    // Newcombe (1998), method 10, case (a): 56/70 and 48/80.
    let found = two_proportions(56, 70, 48, 80).unwrap();
    close(found.lower, 0.0524, 5e-5);
    close(found.upper, 0.3339, 5e-5);
    // Case (b), 9/10 and 3/10; case (e), 5/56 and 0/29.
    let found = two_proportions(9, 10, 3, 10).unwrap();
    close(found.lower, 0.1705, 5e-5);
    close(found.upper, 0.8090, 5e-5);
    let found = two_proportions(5, 56, 0, 29).unwrap();
    close(found.lower, -0.0381, 5e-5);
    close(found.upper, 0.1926, 5e-5);
}

#[test]
fn shares_at_the_edges() {
    assert_eq!(two_proportions(0, 0, 1, 2), None);
    assert_eq!(two_proportions(1, 2, 0, 0), None);
    assert_eq!(two_proportions(3, 2, 1, 2), None);
    for (a, n) in [(0, 5), (5, 5)] {
        let found = two_proportions(a, n, a, n).unwrap();
        assert!(found.p_value >= 1.0 && found.statistic == 0.0);
        assert!(found.lower < 0.0 && found.upper > 0.0);
    }
    let found = two_proportions(u64::MAX / 2, u64::MAX, 1, 2).unwrap();
    assert!(found.p_value.is_finite());
}

#[test]
fn means() {
    // Welch's test on the data of Student's sleep study: t = -1.8608, df = 17.776, p = 0.07939, -3.3654832 to 0.2054832.
    let a = Sample {
        count: 10,
        mean: 0.75,
        stddev: 1.789_010_030_8,
    };
    let b = Sample {
        count: 10,
        mean: 2.33,
        stddev: 2.002_248_734_6,
    };
    let found = welch(a, b).unwrap();
    close(found.statistic, -1.8608, 5e-5);
    close(found.p_value, 0.079_39, 5e-6);
    close(found.lower, -3.365_483, 1e-5);
    close(found.upper, 0.205_483, 1e-5);
    assert_eq!(welch(Sample { count: 1, ..a }, b), None);
    assert_eq!(
        welch(
            Sample {
                mean: f64::NAN,
                ..a
            },
            b
        ),
        None
    );
    assert_eq!(
        welch(
            Sample {
                stddev: f64::INFINITY,
                ..a
            },
            b
        ),
        None
    );
    let constant = |mean| Sample {
        count: 5,
        mean,
        stddev: 0.0,
    };
    assert!(welch(constant(1.0), constant(1.0)).unwrap().p_value >= 1.0);
    assert!(welch(constant(1.0), constant(2.0)).unwrap().p_value <= 0.0);
}

fn once(values: &[f64]) -> Vec<(f64, u64)> {
    values.iter().map(|&value| (value, 1)).collect()
}

#[test]
fn ranks() {
    // The depression of R's documentation of wilcox.test is small; this one is from its airquality example: Ozone in May
    // and August, W = 127.5, p = 0.0001208 with ties and the correction for continuity.
    let may = [
        41., 36., 12., 18., 28., 23., 19., 8., 7., 16., 11., 14., 18., 14., 34., 6., 30., 11., 1.,
        11., 4., 32., 23., 45., 115., 37.,
    ];
    let august = [
        39., 9., 16., 78., 35., 66., 122., 89., 110., 44., 28., 65., 22., 59., 23., 31., 44., 21.,
        9., 45., 168., 73., 76., 118., 84., 85.,
    ];
    let found = mann_whitney(&once(&may), &once(&august)).unwrap();
    close((found.difference + 0.5) * 26.0 * 26.0, 127.5, 1e-9);
    close(found.p_value, 0.000_120_8, 5e-8);
    assert_eq!(mann_whitney(&[], &once(&may)), None);
    assert_eq!(mann_whitney(&[(f64::NAN, 3)], &once(&may)), None);
    // All values are the same: nothing to tell apart.
    let same = mann_whitney(&[(1.0, 10)], &[(1.0, 7)]).unwrap();
    assert!(same.p_value >= 1.0 && same.effect_size == 0.0);
    let zeros = mann_whitney(&[(0.0, 10)], &[(-0.0, 7)]).unwrap();
    assert!(zeros.effect_size == 0.0);
    let apart = mann_whitney(&[(2.0, 100)], &[(1.0, 100)]).unwrap();
    assert!(apart.effect_size >= 1.0 && apart.p_value < 1e-20);
}

/// Of many pairs without a difference, at most about one in twenty is called different.
#[test]
fn chance_is_called_chance() {
    let mut state = 7_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut called = [0; 3];
    for _ in 0..2000 {
        let mut draw = |n: usize| (0..n).map(|_| -random().ln()).collect::<Vec<f64>>();
        let (a, b) = (draw(60), draw(90));
        let count = |values: &[f64]| values.iter().filter(|&&x| x < 1.0).count() as u64;
        let sample = |values: &[f64]| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            Sample {
                count: values.len() as u64,
                mean,
                stddev: square.sqrt(),
            }
        };
        let findings = [
            two_proportions(count(&a), 60, count(&b), 90),
            welch(sample(&a), sample(&b)),
            mann_whitney(&once(&a), &once(&b)),
        ];
        for (which, found) in findings.into_iter().enumerate() {
            called[which] += u32::from(found.unwrap().p_value < 0.05);
        }
    }
    for number in called {
        assert!((60..150).contains(&number), "{called:?} of 2000");
    }
}

fn mirrored(one: Finding, other: Finding) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + a.abs());
    near(one.difference, -other.difference)
        && near(one.p_value, other.p_value)
        && near(one.effect_size, -other.effect_size)
        && near(one.statistic, -other.statistic)
        && near(one.lower, -other.upper)
}

proptest! {
    #[test]
    fn swapping_shares((n, a, m, b) in (1_u64..5000, 0.0..=1.0_f64, 1_u64..5000, 0.0..=1.0_f64)) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let part = |of: u64, share: f64| (of as f64 * share) as u64;
        let (a, b) = (part(n, a), part(m, b));
        let (one, other) = (two_proportions(a, n, b, m).unwrap(), two_proportions(b, m, a, n).unwrap());
        prop_assert!(mirrored(one, other));
        prop_assert!((0.0..=1.0).contains(&one.p_value));
        prop_assert!(one.lower <= one.difference && one.difference <= one.upper);
    }

    #[test]
    fn ranks_by_brute_force(
        a in prop::collection::vec((-5_i32..5, 1_u64..4), 1..12),
        b in prop::collection::vec((-5_i32..5, 1_u64..4), 1..12),
    ) {
        let of = |values: &[(i32, u64)]| values.iter().map(|&(x, c)| (f64::from(x), c)).collect::<Vec<_>>();
        let (a, b) = (of(&a), of(&b));
        let mut wins = 0.0;
        let mut pairs = 0.0;
        for (x, in_a) in &a {
            for (y, in_b) in &b {
                let weight = (in_a * in_b) as f64;
                pairs += weight;
                wins += weight * if x > y { 1.0 } else if x == y { 0.5 } else { 0.0 };
            }
        }
        let found = mann_whitney(&a, &b).unwrap();
        prop_assert!((found.difference - (wins / pairs - 0.5)).abs() < 1e-12);
        prop_assert!((found.effect_size - (2.0 * wins / pairs - 1.0)).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&found.p_value));
        prop_assert!(mirrored(found, mann_whitney(&b, &a).unwrap()));
    }
}
