//! Whether two groups differ, or only seem to: three tests from what is known of the groups without their rows.
//!
//! | question | test | needs |
//! |---|---|---|
//! | do shares differ (success rates)? | [`two_proportions`] | successes and trials |
//! | do means differ (cost of a run)? | [`welch`] | count, mean, standard deviation |
//! | does one tend to be greater (runtimes)? | [`mann_whitney`] | values with how often they occur |
//!
//! All tests have two sides. A p-value is the probability of a difference at least as large as the one observed if the
//! groups did not differ. Knows nothing of Postgres.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::float_cmp))]

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Half of the two-sided 95 % of a normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// What a test found: the first group less the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// First less second; of [`mann_whitney`], see there.
    pub difference: f64,
    /// Lower bound of the 95 % confidence interval of the difference.
    pub lower: f64,
    /// Upper bound of the same.
    pub upper: f64,
    /// z, or t of [`welch`].
    pub statistic: f64,
    /// Two-sided, 0 to 1.
    pub p_value: f64,
    /// How large the difference is, whatever the number of observations: Cohen's h, Cohen's d, rank-biserial correlation.
    pub effect_size: f64,
}

/// Two-sided p-value of a z.
fn p_of_z(z: f64) -> f64 {
    // Of the tail itself: one less nearly one would lose every digit.
    match Normal::new(0.0, 1.0) {
        Ok(normal) => (2.0 * normal.sf(z.abs())).min(1.0),
        Err(_) => f64::NAN,
    }
}

/// Two-proportion z-test with a pooled variance: `a` successes of `of_a`, `b` of `of_b`.
///
/// The interval is Newcombe's (from Wilson's intervals of the two shares), which holds for small numbers and for shares
/// of 0 and 1. The effect size is Cohen's h. `None` when a group is empty or has more successes than trials.
pub fn two_proportions(a: u64, of_a: u64, b: u64, of_b: u64) -> Option<Finding> {
    if of_a == 0 || of_b == 0 || a > of_a || b > of_b {
        return None;
    }
    let (n, m) = (of_a as f64, of_b as f64);
    let (share_a, share_b) = (a as f64 / n, b as f64 / m);
    let pooled = (a as f64 + b as f64) / (n + m);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    let difference = share_a - share_b;
    // All succeeded, or none did, in both.
    let statistic = if error > 0.0 { difference / error } else { 0.0 };
    let (low_a, high_a) = wilson(share_a, n);
    let (low_b, high_b) = wilson(share_b, m);
    Some(Finding {
        difference,
        lower: difference - (share_a - low_a).hypot(high_b - share_b),
        upper: difference + (high_a - share_a).hypot(share_b - low_b),
        statistic,
        p_value: p_of_z(statistic),
        effect_size: 2.0 * (share_a.sqrt().asin() - share_b.sqrt().asin()),
    })
}

/// Wilson's 95 % interval of a share.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z2 = Z95 * Z95;
    let centre = share + z2 / (2.0 * n);
    let half = Z95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (
        ((centre - half) / scale).clamp(0.0, share),
        ((centre + half) / scale).clamp(share, 1.0),
    )
}

/// What is known of a sample of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with n - 1.
    pub stddev: f64,
}

/// Welch's t-test: do the means differ, whatever the variances?
///
/// The effect size is Cohen's d with the mean of the two variances. `None` when a group has fewer than two values, or
/// its mean or deviation is not finite.
pub fn welch(a: Sample, b: Sample) -> Option<Finding> {
    let usable =
        |s: Sample| s.count >= 2 && s.mean.is_finite() && s.stddev.is_finite() && s.stddev >= 0.0;
    if !usable(a) || !usable(b) {
        return None;
    }
    let part = |s: Sample| s.stddev * s.stddev / s.count as f64;
    let (va, vb) = (part(a), part(b));
    let difference = a.mean - b.mean;
    let error = (va + vb).sqrt();
    if !error.is_finite() || !difference.is_finite() {
        return None;
    }
    if error == 0.0 {
        // Both are constant: there is no chance in it.
        let same = difference == 0.0;
        let extreme = if same {
            0.0
        } else {
            f64::INFINITY.copysign(difference)
        };
        return Some(Finding {
            difference,
            lower: difference,
            upper: difference,
            statistic: extreme,
            p_value: if same { 1.0 } else { 0.0 },
            effect_size: extreme,
        });
    }
    // Welch-Satterthwaite, from shares of the error, which cannot underflow.
    let (share_a, share_b) = (va / (va + vb), vb / (va + vb));
    let freedom = 1.0
        / (share_a * share_a / (a.count as f64 - 1.0) + share_b * share_b / (b.count as f64 - 1.0));
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let statistic = difference / error;
    let reach = t.inverse_cdf(0.975) * error;
    let spread = f64::midpoint(a.stddev * a.stddev, b.stddev * b.stddev).sqrt();
    Some(Finding {
        difference,
        lower: difference - reach,
        upper: difference + reach,
        statistic,
        p_value: (2.0 * t.sf(statistic.abs())).min(1.0),
        effect_size: difference / spread,
    })
}

/// Mann-Whitney U test, normal approximation with correction for ties and continuity: values with how often they occur.
///
/// `difference` is the probability that a value of the first group is greater than one of the second, ties counting
/// half, less one half; `lower` and `upper` its interval after Hanley and `McNeil`. The effect size is the rank-biserial
/// correlation, -1 (all of the first are below) to 1. `None` when a group is empty. Values that are not numbers are left
/// out.
pub fn mann_whitney(a: &[(f64, u64)], b: &[(f64, u64)]) -> Option<Finding> {
    let mut all: Vec<(f64, u64, u64)> = Vec::with_capacity(a.len() + b.len());
    all.extend(a.iter().map(|&(value, count)| (value, count, 0)));
    all.extend(b.iter().map(|&(value, count)| (value, 0, count)));
    all.retain(|(value, in_a, in_b)| !value.is_nan() && in_a + in_b > 0);
    // Negative zero is zero.
    all.sort_unstable_by(|x, y| (x.0 + 0.0).total_cmp(&(y.0 + 0.0)));

    // Doubles: the products of two counts would overflow.
    let (mut n, mut m, mut wins, mut ties) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    let mut rest = all.as_slice();
    while let Some(&(value, _, _)) = rest.first() {
        let same = rest.partition_point(|other| other.0 <= value);
        let (group, others) = rest.split_at(same);
        rest = others;
        let in_a: f64 = group.iter().map(|each| each.1 as f64).sum();
        let in_b: f64 = group.iter().map(|each| each.2 as f64).sum();
        // What of the second group was met so far is smaller.
        wins += in_a * (m + in_b / 2.0);
        n += in_a;
        m += in_b;
        let equal = in_a + in_b;
        ties += equal * equal * equal - equal;
    }
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let total = n + m;
    let variance = n * m / 12.0 * ((total + 1.0) - ties / (total * (total - 1.0)));
    let distance = wins - n * m / 2.0;
    let statistic = if variance > 0.0 {
        ((distance.abs() - 0.5).max(0.0) / variance.sqrt()).copysign(distance)
    } else {
        0.0
    };
    let superiority = wins / (n * m);
    let (q1, q2) = (
        superiority / (2.0 - superiority),
        2.0 * superiority * superiority / (1.0 + superiority),
    );
    let square = superiority * superiority;
    let spread = ((superiority * (1.0 - superiority)
        + (n - 1.0) * (q1 - square)
        + (m - 1.0) * (q2 - square))
        / (n * m))
        .max(0.0)
        .sqrt();
    let difference = superiority - 0.5;
    Some(Finding {
        difference,
        lower: (difference - Z95 * spread).max(-0.5),
        upper: (difference + Z95 * spread).min(0.5),
        statistic,
        p_value: p_of_z(statistic),
        effect_size: 2.0 * superiority - 1.0,
    })
}
