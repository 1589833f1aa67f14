//! The statistics that the scores are made of. All of them are finite for whatever they are given.

/// Quantile of the normal distribution for a confidence of 95 %, two-sided.
pub const Z: f64 = 1.959_963_984_540_054;

/// Runs that the average counts for where a few runs of one's own would say too little.
pub const PRIOR_RUNS: f64 = 20.0;

/// Runtimes are compared from one millisecond on: what is shorter is below what clocks of applications resolve.
pub const SHORTEST_SECONDS: f64 = 0.001;

/// Amounts beyond this are this: their sums and ratios stay far from the end of doubles.
const GREATEST_AMOUNT: f64 = 1e150;

/// An amount as scores use it: zero for what is negative or no number, and never infinite.
pub fn amount(value: f64) -> f64 {
    if value > 0.0 {
        value.min(GREATEST_AMOUNT)
    } else {
        0.0
    }
}

/// Lower bound of the Wilson score interval (Wilson 1927) for a share of successes: the share that the evidence
/// supports with 95 % confidence (two-sided). 0 without a trial, and between 0 and 1 always.
///
/// Written as k² / (n (k + z²/2 + z √(k (n − k) / n + z²/4))), the same as the usual form without its cancellation.
pub fn wilson_lower_bound(successes: u64, trials: u64) -> f64 {
    if trials == 0 || successes == 0 {
        return 0.0;
    }
    let n = trials as f64;
    let k = (successes as f64).min(n);
    let spread = Z * (k * (n - k) / n + Z * Z / 4.0).sqrt();
    (k / (k + Z * Z / 2.0 + spread)) * (k / n)
}

/// How dear runs are in comparison with the average run, pulled towards average (1) as if [`PRIOR_RUNS`] average runs
/// had been made besides: (total / average + prior) / (runs + prior). Above zero; 1 where the average is zero.
pub fn relative_cost(total: f64, runs: u64, average: f64) -> f64 {
    let total = amount(total);
    let average = amount(average);
    if average == 0.0 || runs == 0 {
        return 1.0;
    }
    let ratio = (total / average).min(GREATEST_AMOUNT);
    (ratio + PRIOR_RUNS) / (runs as f64 + PRIOR_RUNS)
}

/// Standard error of the logarithm of a median of n runtimes, times √n: runtimes of agents are about log-normal, with a
/// spread of a factor e, and the median of a normal sample has 1.2533 times the standard error of its mean.
const MEDIAN_SPREAD: f64 = 1.253_314_137_315_500_3;

/// Lower bound, with 95 % confidence (two-sided), of how many times as fast as the reference an agent with this median
/// is: reference / median · e^(−z · 1.2533 / √n). It falls below the plain ratio by a factor of 11.7 with one run, 1.28
/// with a hundred, 1.08 with a thousand. 0 without a run.
///
/// Pulling a median towards that of the peers, as one does with averages, would let a single lucky run lead wherever the
/// peers are fast themselves. A bound depends on one's own runs alone, apart from the common factor.
pub fn speed_lower_bound(median: f64, runs: u64, reference: f64) -> f64 {
    if runs == 0 {
        return 0.0;
    }
    let median = amount(median).max(SHORTEST_SECONDS);
    let reference = amount(reference).max(SHORTEST_SECONDS);
    reference / median * certainty(runs)
}

/// The factor that few runs cost: e^(−z · 1.2533 / √n).
pub fn certainty(runs: u64) -> f64 {
    if runs == 0 {
        return 0.0;
    }
    (-Z * MEDIAN_SPREAD / (runs as f64).sqrt()).exp()
}

/// Change against a period before, damped for small bases: (now − before) / (before + prior). At least −1.
pub fn damped_growth(now: u64, before: u64) -> f64 {
    (now as f64 - before as f64) / (before as f64 + PRIOR_RUNS)
}

/// A part of a whole, damped for small wholes: part / (whole + prior).
pub fn damped_share(part: u64, whole: u64, prior: f64) -> f64 {
    part.min(whole) as f64 / (whole as f64 + prior)
}

/// The value at which half of the weight is reached, the values in ascending order; 0 without weight.
pub fn weighted_median(values: &mut [(f64, u64)]) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let total: u128 = values.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let mut reached = 0;
    for (value, weight) in values.iter() {
        reached += u128::from(*weight);
        if *weight > 0 && reached * 2 >= total {
            return *value;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * b.abs().max(1.0)
    }

    #[test]
    fn wilson_as_others_compute_it() {
        // The usual form, evaluated with 50 digits.
        assert!(close(wilson_lower_bound(1, 1), 0.206_549_314_377_237_14));
        assert!(close(
            wilson_lower_bound(980, 1000),
            0.969_309_994_770_282_2
        ));
        assert!(close(wilson_lower_bound(5, 10), 0.236_593_090_512_563_98));
        assert_eq!(wilson_lower_bound(0, 10), 0.0);
        assert_eq!(wilson_lower_bound(0, 0), 0.0);
    }

    #[test]
    fn one_run_does_not_beat_a_thousand() {
        assert!(wilson_lower_bound(1, 1) < wilson_lower_bound(980, 1000));
        assert!(wilson_lower_bound(3, 3) < wilson_lower_bound(60, 100));
    }

    #[test]
    fn wilson_is_within_bounds() {
        for (k, n) in [(u64::MAX, u64::MAX), (u64::MAX, 1), (1, u64::MAX), (7, 3)] {
            let bound = wilson_lower_bound(k, n);
            assert!((0.0..=1.0).contains(&bound), "{k} of {n}: {bound}");
        }
    }

    #[test]
    fn costs() {
        assert_eq!(relative_cost(0.0, 0, 3.0), 1.0);
        assert_eq!(relative_cost(5.0, 5, 0.0), 1.0);
        assert_eq!(relative_cost(60.0, 20, 3.0), 1.0);
        assert_eq!(relative_cost(0.0, 20, 3.0), 0.5);
        assert!(relative_cost(f64::INFINITY, 1, 1e-300).is_finite());
        assert!(relative_cost(f64::NAN, 1, f64::NAN).is_finite());
    }

    #[test]
    fn speeds() {
        assert_eq!(speed_lower_bound(4.0, 0, 8.0), 0.0);
        assert!((speed_lower_bound(4.0, u64::MAX, 16.0) - 4.0).abs() < 1e-8);
        assert!(close(
            speed_lower_bound(4.0, 1, 16.0),
            4.0 * 0.085_738_735_117_894_08
        ));
        // Luck does not lead.
        assert!(speed_lower_bound(1.0, 1, 1.2) < speed_lower_bound(1.2, 1000, 1.2));
        assert!(speed_lower_bound(0.0, u64::MAX, f64::INFINITY).is_finite());
        assert!(speed_lower_bound(f64::INFINITY, u64::MAX, 0.0) > 0.0);
    }

    #[test]
    fn growth() {
        assert_eq!(damped_growth(0, 0), 0.0);
        assert_eq!(damped_growth(200, 100), 100.0 / 120.0);
        // From one to three is no growth of 200 %.
        assert!(damped_growth(3, 1) < damped_growth(1500, 1000));
        assert!(damped_growth(0, u64::MAX) >= -1.0);
    }

    #[test]
    fn medians() {
        assert_eq!(weighted_median(&mut []), 0.0);
        assert_eq!(weighted_median(&mut [(5.0, 0)]), 0.0);
        assert_eq!(weighted_median(&mut [(9.0, 1), (1.0, 1), (5.0, 1)]), 5.0);
        assert_eq!(weighted_median(&mut [(9.0, 10), (1.0, 1), (5.0, 1)]), 9.0);
        assert_eq!(
            weighted_median(&mut [(1.0, u64::MAX), (2.0, u64::MAX)]),
            1.0
        );
    }
}
