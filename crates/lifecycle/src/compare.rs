//! Whether two samples differ, by how much, and how surely.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

/// Count, mean and sample variance of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How many values.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Their variance with n - 1.
    pub variance: f64,
}

/// What a test says of the second sample against the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Second less first.
    pub difference: f64,
    /// The difference in standard deviations (Hedges' g), or on the arcsine scale for shares (Cohen's h).
    pub effect_size: Option<f64>,
    /// Two-sided probability of a difference as large as this when there is none; none where it cannot be known.
    pub p_value: Option<f64>,
}

/// Welch's t test of two means.
pub fn means(a: Sample, b: Sample) -> Difference {
    let difference = b.mean - a.mean;
    let none = Difference {
        difference,
        effect_size: None,
        p_value: None,
    };
    let usable = |s: &Sample| s.count >= 2.0 && s.mean.is_finite() && s.variance >= 0.0;
    if !usable(&a) || !usable(&b) {
        return none;
    }
    let (va, vb) = (a.variance / a.count, b.variance / b.count);
    let total = va + vb;
    // Sums of doubles leave a variance of this size where the values are all the same.
    let noise = 1e-24 * (a.mean * a.mean + b.mean * b.mean);
    if total <= noise {
        return none;
    }
    let t = difference / total.sqrt();
    let freedom = total * total / (va * va / (a.count - 1.0) + vb * vb / (b.count - 1.0));
    let within = a.count + b.count - 2.0;
    let pooled = ((a.count - 1.0) * a.variance + (b.count - 1.0) * b.variance) / within;
    let small_samples = 1.0 - 3.0 / (4.0 * within - 1.0);
    Difference {
        difference,
        effect_size: Some(difference / pooled.sqrt() * small_samples),
        p_value: StudentsT::new(0.0, 1.0, freedom)
            .ok()
            .map(|law| (2.0 * law.sf(t.abs())).min(1.0)),
    }
}

/// Two shares: successes of trials. Fisher's exact test where an expected count is below 5, else the z test.
pub fn shares(
    successes_a: u64,
    trials_a: u64,
    successes_b: u64,
    trials_b: u64,
) -> Option<Difference> {
    if trials_a == 0 || trials_b == 0 || successes_a > trials_a || successes_b > trials_b {
        return None;
    }
    let (na, nb) = (trials_a as f64, trials_b as f64);
    let (pa, pb) = (successes_a as f64 / na, successes_b as f64 / nb);
    let both = (successes_a as f64 + successes_b as f64) / (na + nb);
    let least = na.min(nb) * both.min(1.0 - both);
    let p_value = if least < 5.0 {
        fisher(successes_a, trials_a, successes_b, trials_b)
    } else {
        let z = (pb - pa) / (both * (1.0 - both) * (1.0 / na + 1.0 / nb)).sqrt();
        2.0 * Normal::standard().sf(z.abs())
    };
    Some(Difference {
        difference: pb - pa,
        effect_size: Some(2.0 * pb.sqrt().asin() - 2.0 * pa.sqrt().asin()),
        p_value: Some(p_value.min(1.0)),
    })
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// Two-sided: all tables that are at most as probable as this one. There are few, because an expected count is small.
fn fisher(successes_a: u64, trials_a: u64, successes_b: u64, trials_b: u64) -> f64 {
    let successes = successes_a + successes_b;
    let failures = trials_a + trials_b - successes;
    let (na, nb) = (trials_a as f64, trials_b as f64);
    let all = ln_choose(na + nb, successes as f64);
    let probability =
        |x: u64| (ln_choose(na, x as f64) + ln_choose(nb, (successes - x) as f64) - all).exp();
    let seen = probability(successes_a);
    // Successes of the first sample, between what its size and the failures leave.
    let lowest = trials_a.saturating_sub(failures);
    let highest = trials_a.min(successes);
    (lowest..=highest)
        .map(probability)
        .filter(|p| *p <= seen * (1.0 + 1e-7))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * (1.0 + b.abs())
    }

    /// Computed elsewhere, with scipy: `ttest_ind(equal_var=False)`, `fisher_exact`, and the z test computed with erfc.
    #[test]
    #[allow(clippy::many_single_char_names)] // samples
    fn known_results() {
        // [1, 2, 3, 4, 5] and [2, 4, 6, 8, 10]
        let a = Sample {
            count: 5.0,
            mean: 3.0,
            variance: 2.5,
        };
        let b = Sample {
            count: 5.0,
            mean: 6.0,
            variance: 10.0,
        };
        let d = means(a, b);
        assert!(close(d.difference, 3.0));
        assert!(close(d.p_value.unwrap(), 0.107_531_194_936_274_55), "{d:?}");
        let f = shares(8, 10, 1, 6).unwrap();
        assert!(close(f.p_value.unwrap(), 0.034_965_034_965_034_96), "{f:?}");
        let z = shares(80, 100, 90, 100).unwrap();
        assert!(close(z.p_value.unwrap(), 0.047_670_380_654_025_96), "{z:?}");
        assert!(close(z.difference, 0.1));
    }

    #[test]
    fn nothing_to_compare() {
        let one = Sample {
            count: 1.0,
            mean: 3.0,
            variance: f64::NAN,
        };
        assert_eq!(means(one, one).p_value, None);
        let constant = Sample {
            count: 5.0,
            mean: 3.0,
            variance: 0.0,
        };
        assert_eq!(means(constant, constant).p_value, None);
        let rounded = Sample {
            variance: 1e-32,
            mean: 4.0,
            ..constant
        };
        assert_eq!(means(constant, rounded).effect_size, None);
        assert_eq!(shares(0, 0, 1, 2), None);
        assert_eq!(shares(3, 2, 1, 2), None);
        assert!(close(shares(5, 5, 5, 5).unwrap().p_value.unwrap(), 1.0));
        assert!(close(shares(0, 5, 0, 900).unwrap().p_value.unwrap(), 1.0));
    }
}
