//! How long something lasts, when some of it has not ended yet: Kaplan-Meier and the log-rank test.

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use crate::Error;

/// A step of the survival curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Duration at which something ended or was last seen; 0 in the first row.
    pub time: f64,
    /// How many lasted at least this long.
    pub at_risk: usize,
    /// How many ended then.
    pub events: usize,
    /// How many were last seen then, and had not ended.
    pub censored: usize,
    /// Share that lasts longer.
    pub survival: f64,
    /// Standard error of that share (Greenwood); none when nothing is left.
    pub std_err: Option<f64>,
    /// Lower bound of the confidence interval (log-log).
    pub ci_low: f64,
    /// Upper bound of the confidence interval.
    pub ci_high: f64,
}

/// The survival curve of observations: a duration, and whether it ended then. The first step is at 0, the others are
/// at each distinct duration. No steps for no observations.
///
/// # Errors
/// A duration that is negative or not finite; a confidence that is not between 0 and 1.
pub fn kaplan_meier(observations: &[(f64, bool)], confidence: f64) -> Result<Vec<Step>, Error> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(Error::Confidence(confidence));
    }
    let z = Normal::standard().inverse_cdf(0.5 + confidence / 2.0);
    let mut sorted = checked(observations)?;
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));

    let mut steps = Vec::new();
    let (mut at_risk, mut survival, mut greenwood) = (sorted.len(), 1.0_f64, 0.0_f64);
    if sorted.first().is_some_and(|first| first.0 > 0.0) {
        steps.push(Step {
            time: 0.0,
            at_risk,
            events: 0,
            censored: 0,
            survival,
            std_err: Some(0.0),
            ci_low: 1.0,
            ci_high: 1.0,
        });
    }
    for same in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let events = same.iter().filter(|observation| observation.1).count();
        let (n, d) = (at_risk as f64, events as f64);
        survival *= 1.0 - d / n;
        if events < at_risk {
            greenwood += d / (n * (n - d));
        } else {
            survival = 0.0;
        }
        let (ci_low, ci_high) = log_log_interval(survival, greenwood, z);
        steps.push(Step {
            time: same.first().map_or(0.0, |first| first.0),
            at_risk,
            events,
            censored: same.len() - events,
            survival,
            std_err: (survival > 0.0).then(|| survival * greenwood.sqrt()),
            ci_low,
            ci_high,
        });
        at_risk -= same.len();
    }
    Ok(steps)
}

/// Stays within 0 and 1, unlike the plain interval.
fn log_log_interval(survival: f64, greenwood: f64, z: f64) -> (f64, f64) {
    if survival <= 0.0 {
        return (0.0, 0.0);
    }
    if survival >= 1.0 {
        return (1.0, 1.0);
    }
    let log = survival.ln();
    let width = z * greenwood.sqrt() / log.abs();
    let bound = |offset: f64| (-((-log).ln() + offset).exp()).exp();
    (bound(width), bound(-width))
}

/// The first duration that at most half survive; none where more than half do throughout.
pub fn median(steps: &[Step]) -> Option<f64> {
    steps
        .iter()
        .find(|step| step.survival <= 0.5)
        .map(|step| step.time)
}

fn checked(observations: &[(f64, bool)]) -> Result<Vec<(f64, bool)>, Error> {
    match observations.iter().find(|o| !o.0.is_finite() || o.0 < 0.0) {
        Some(bad) => Err(Error::Duration(bad.0)),
        // -0.0 becomes 0.0.
        None => Ok(observations.iter().map(|o| (o.0 + 0.0, o.1)).collect()),
    }
}

/// Whether groups last equally long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogRank {
    /// Chi-squared statistic.
    pub statistic: f64,
    /// Groups less one.
    pub degrees_of_freedom: usize,
    /// Probability of a statistic as large as this when the groups last equally long.
    pub p_value: f64,
}

/// The log-rank test of two or more groups: `group[i]` in `0..groups` is that of observation `i`.
///
/// # Errors
/// Lengths that differ, a bad duration, fewer than two groups, groups that cannot be compared.
#[allow(clippy::many_single_char_names)] // those of the books
pub fn log_rank(
    observations: &[(f64, bool)],
    group: &[usize],
    groups: usize,
) -> Result<LogRank, Error> {
    if observations.len() != group.len() {
        return Err(Error::Lengths);
    }
    if groups < 2 {
        return Err(Error::Groups(groups));
    }
    let mut sorted: Vec<((f64, bool), usize)> = checked(observations)?
        .into_iter()
        .zip(group.iter().copied())
        .collect();
    sorted.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));

    let free = groups - 1;
    let mut at_risk = vec![0.0_f64; groups];
    for (_, g) in &sorted {
        if let Some(count) = at_risk.get_mut(*g) {
            *count += 1.0;
        }
    }
    let mut excess = vec![0.0_f64; free];
    let mut covariance = vec![vec![0.0_f64; free]; free];
    for same in sorted.chunk_by(|a, b| a.0.0.total_cmp(&b.0.0).is_eq()) {
        let mut ended = vec![0.0_f64; groups];
        let mut gone = vec![0.0_f64; groups];
        for ((_, event), g) in same {
            if let (Some(ended), Some(gone)) = (ended.get_mut(*g), gone.get_mut(*g)) {
                *gone += 1.0;
                *ended += f64::from(u8::from(*event));
            }
        }
        let (n, d): (f64, f64) = (at_risk.iter().sum(), ended.iter().sum());
        if d > 0.0 {
            let factor = if n > 1.0 {
                d * (n - d) / (n - 1.0)
            } else {
                0.0
            };
            for (((i, row), excess), (observed, n_i)) in covariance
                .iter_mut()
                .enumerate()
                .zip(&mut excess)
                .zip(ended.iter().zip(&at_risk))
            {
                *excess += observed - d * n_i / n;
                for ((j, cell), n_j) in row.iter_mut().enumerate().zip(&at_risk) {
                    let same_group = f64::from(u8::from(i == j));
                    *cell += factor * (n_i / n) * (same_group - n_j / n);
                }
            }
        }
        for (count, gone) in at_risk.iter_mut().zip(&gone) {
            *count -= gone;
        }
    }
    let solution = solve(covariance, excess.clone()).ok_or(Error::Indistinguishable)?;
    let statistic: f64 = excess.iter().zip(&solution).map(|(a, b)| a * b).sum();
    let statistic = statistic.max(0.0);
    let p_value = ChiSquared::new(free as f64).map_or(f64::NAN, |law| law.sf(statistic));
    Ok(LogRank {
        statistic,
        degrees_of_freedom: free,
        p_value,
    })
}

/// Solves `matrix * x = right` by elimination with pivoting; none for a singular matrix.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    let scale = matrix
        .iter()
        .flatten()
        .fold(0.0_f64, |most, cell| most.max(cell.abs()));
    for column in 0..size {
        let pivot = (column..size).max_by(|a, b| {
            let of = |row: &usize| {
                matrix
                    .get(*row)
                    .and_then(|r| r.get(column))
                    .map_or(0.0, |c| c.abs())
            };
            of(a).total_cmp(&of(b))
        })?;
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        let pivot_row = matrix.get(column)?.clone();
        let pivot_right = *right.get(column)?;
        let pivot_cell = *pivot_row.get(column)?;
        if pivot_cell.abs() <= scale * 1e-12 || pivot_cell == 0.0 {
            return None;
        }
        for (row, value) in matrix.iter_mut().zip(&mut right).skip(column + 1) {
            let factor = row.get(column)? / pivot_cell;
            for (cell, above) in row.iter_mut().zip(&pivot_row) {
                *cell -= factor * above;
            }
            *value -= factor * pivot_right;
        }
    }
    let mut solution = vec![0.0; size];
    for index in (0..size).rev() {
        let row = matrix.get(index)?;
        let known: f64 = row
            .iter()
            .zip(&solution)
            .skip(index + 1)
            .map(|(a, x)| a * x)
            .sum();
        *solution.get_mut(index)? = (right.get(index)? - known) / row.get(index)?;
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_curve_by_hand() {
        // 1, 2+, 3, 3, 4+: 4/5, then (4/5)(1/3).
        let steps = kaplan_meier(
            &[
                (3.0, true),
                (1.0, true),
                (2.0, false),
                (4.0, false),
                (3.0, true),
            ],
            0.95,
        )
        .unwrap();
        let shown: Vec<_> = steps
            .iter()
            .map(|s| (s.time, s.at_risk, s.events, s.censored))
            .collect();
        assert_eq!(
            shown,
            [
                (0.0, 5, 0, 0),
                (1.0, 5, 1, 0),
                (2.0, 4, 0, 1),
                (3.0, 3, 2, 0),
                (4.0, 1, 0, 1)
            ]
        );
        assert!((steps[3].survival - 4.0 / 15.0).abs() < 1e-15);
        assert_eq!(median(&steps), Some(3.0));
        assert_eq!(kaplan_meier(&[], 0.95).unwrap(), []);
        assert_eq!(median(&kaplan_meier(&[(1.0, false)], 0.95).unwrap()), None);
        assert_eq!(
            kaplan_meier(&[(f64::NAN, true)], 0.95).map_err(|_| ()),
            Err(())
        );
        assert_eq!(
            kaplan_meier(&[(-1.0, true)], 0.95),
            Err(Error::Duration(-1.0))
        );
        assert_eq!(kaplan_meier(&[], 1.0), Err(Error::Confidence(1.0)));
    }

    #[test]
    fn groups_that_cannot_be_compared() {
        let o = [(1.0, true), (2.0, true)];
        assert_eq!(log_rank(&o, &[0, 0], 1), Err(Error::Groups(1)));
        assert_eq!(log_rank(&o, &[0], 2), Err(Error::Lengths));
        assert_eq!(
            log_rank(&[(1.0, false), (2.0, false)], &[0, 1], 2),
            Err(Error::Indistinguishable)
        );
        assert_eq!(log_rank(&[], &[], 2), Err(Error::Indistinguishable));
        let equal = log_rank(&[(1.0, true), (1.0, true)], &[0, 1], 2);
        assert_eq!(equal, Err(Error::Indistinguishable));
    }

    proptest! {
        #[test]
        fn without_censoring_it_is_the_share_that_lasts_longer(
            times in proptest::collection::vec(0u8..20, 1..60)
        ) {
            let observations: Vec<(f64, bool)> = times.iter().map(|t| (f64::from(*t), true)).collect();
            for step in kaplan_meier(&observations, 0.9).unwrap() {
                let longer = observations.iter().filter(|o| o.0 > step.time).count();
                let share = longer as f64 / observations.len() as f64;
                prop_assert!((step.survival - share).abs() < 1e-12);
                prop_assert!(step.ci_low <= step.survival && step.survival <= step.ci_high);
                prop_assert!(step.ci_low >= 0.0 && step.ci_high <= 1.0);
            }
        }

        /// The statistic does not depend on which group comes last, nor on the order of the observations.
        #[test]
        fn groups_are_equal(
            rows in proptest::collection::vec((1u8..9, any::<bool>(), 0usize..3), 10..60)
        ) {
            let observations: Vec<(f64, bool)> = rows.iter().map(|r| (f64::from(r.0), r.1)).collect();
            let group: Vec<usize> = rows.iter().map(|r| r.2).collect();
            let turned: Vec<usize> = group.iter().rev().map(|g| (g + 1) % 3).collect();
            let backwards: Vec<(f64, bool)> = observations.iter().rev().copied().collect();
            if let (Ok(a), Ok(b)) =
                (log_rank(&observations, &group, 3), log_rank(&backwards, &turned, 3))
            {
                prop_assert!((a.statistic - b.statistic).abs() < 1e-6 * (1.0 + a.statistic));
                prop_assert!((0.0..=1.0).contains(&a.p_value));
            }
        }
    }
}
