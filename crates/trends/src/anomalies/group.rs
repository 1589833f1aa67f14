//! Several series together.

use super::{FEWEST, LONG, Options, score_of};
use crate::decompose::decompose;
use crate::distributions::chi_squared_above;
use crate::error::{Error, Watch};
use crate::robust;
use crate::seasons;
use crate::series::Step;
use crate::stream::Stream;

/// Most series of a group.
pub const MOST_SERIES: usize = 32;

/// The verdict about one place of a group of series.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupVerdict {
    /// 0 to 1; none where a value is missing or there are too few.
    pub score: Option<f64>,
    /// Whether the score reaches the limit.
    pub is_anomaly: bool,
    /// Distance from what the series do together, in standard deviations.
    pub distance: Option<f64>,
    /// The series that is furthest from what was expected of it, given the others.
    pub strongest: Option<usize>,
}

/// Judges every place of several series of the same length together: what is usual for each alone may be unusual for
/// all of them. Each loses its trend and seasons first.
///
/// # Errors
/// No or too many series, a sensitivity that is none, or interrupted.
pub fn detect_group(
    series: &[Vec<f64>],
    step: Option<Step>,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Vec<GroupVerdict>, Error> {
    let limit = options.limit()?;
    let k = series.len();
    if k == 0 || k > MOST_SERIES {
        return Err(Error::option(
            "values",
            format!("of {k} series"),
            "it is not a group",
            format!("Give 1 to {MOST_SERIES} series."),
        ));
    }
    let n = series.iter().map(Vec::len).min().unwrap_or(0);
    // Distances in robust standard deviations; 0 where a series is constant.
    let mut distances: Vec<Vec<f64>> = Vec::with_capacity(k);
    for values in series {
        let periods = match &options.periods {
            Some(periods) => periods.clone(),
            None => seasons::seasons(values, step, watch)?
                .iter()
                .map(|s| s.period)
                .collect(),
        };
        let parts = decompose(values, &periods, true, watch)?;
        let there: Vec<f64> = parts
            .remainder
            .iter()
            .copied()
            .filter(|r| !r.is_nan())
            .collect();
        let sigma = robust::sigma_about(&there, 0.0);
        distances.push(
            parts
                .remainder
                .iter()
                .map(|r| if sigma > 0.0 { r / sigma } else { r * 0.0 })
                .collect(),
        );
    }
    let factor = cholesky(&correlations(&distances, n));
    let mut verdicts = Vec::with_capacity(n);
    let mut stream = Stream::new();
    let mut lengths: Vec<f64> = Vec::new();
    let mut rows = Vec::with_capacity(n);
    for i in 0..n {
        if i % 1024 == 0 {
            watch.check()?;
        }
        let row: Vec<f64> = distances
            .iter()
            .map(|d| d.get(i).copied().unwrap_or(f64::NAN))
            .collect();
        if row.iter().any(|x| x.is_nan()) {
            rows.push(None);
            continue;
        }
        let free = forward(&factor, &row);
        let squared: f64 = free.iter().map(|x| x * x).sum();
        lengths.push(squared);
        rows.push(Some((squared, free)));
    }
    let is_long = lengths.len() >= LONG;
    let freedom = k as f64;
    let usual = freedom * (1.0 - 2.0 / (9.0 * freedom)).powi(3);
    let middle = robust::median(&mut lengths).unwrap_or(0.0);
    let scale = if middle > 0.0 { middle / usual } else { 1.0 };
    for row in rows {
        let Some((squared, free)) = row else {
            verdicts.push(GroupVerdict {
                score: None,
                is_anomaly: false,
                distance: None,
                strongest: None,
            });
            continue;
        };
        let apart = squared.sqrt();
        let by_past = stream.judge(apart, limit).filter(|j| j.expected.is_some());
        let by_law = score_of(chi_squared_above(squared / scale, freedom));
        let score = match by_past {
            // Only what is far is unusual; what is near never is.
            Some(judgement) if is_long => {
                if judgement.is_above {
                    judgement.score.min(by_law)
                } else {
                    0.0
                }
            }
            _ => by_law,
        };
        let strongest = (0..free.len()).max_by(|a, b| {
            let size = |i: &usize| free.get(*i).map_or(0.0, |x| x.abs());
            size(a).total_cmp(&size(b))
        });
        verdicts.push(GroupVerdict {
            score: Some(score),
            is_anomaly: score >= limit && verdicts.len() + 1 >= FEWEST.min(n),
            distance: Some(apart),
            strongest,
        });
    }
    Ok(verdicts)
}

/// Of tamed distances, a little towards independence so that they can be inverted.
fn correlations(distances: &[Vec<f64>], n: usize) -> Vec<Vec<f64>> {
    const INDEPENDENCE: f64 = 0.05;
    let tame = |x: f64| x.clamp(-3.0, 3.0);
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter()
            .zip(b)
            .take(n)
            .filter(|(x, y)| !x.is_nan() && !y.is_nan())
            .map(|(x, y)| tame(*x) * tame(*y))
            .sum()
    };
    distances
        .iter()
        .enumerate()
        .map(|(i, a)| {
            distances
                .iter()
                .enumerate()
                .map(|(j, b)| {
                    let scale = (product(a, a) * product(b, b)).sqrt();
                    match (i == j, scale > 0.0) {
                        (true, _) => 1.0,
                        (false, true) => (1.0 - INDEPENDENCE) * product(a, b) / scale,
                        (false, false) => 0.0,
                    }
                })
                .collect()
        })
        .collect()
}

/// Lower triangle whose square is the matrix.
fn cholesky(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut lower: Vec<Vec<f64>> = Vec::with_capacity(matrix.len());
    for (i, row) in matrix.iter().enumerate() {
        let mut new: Vec<f64> = Vec::with_capacity(i + 1);
        for j in 0..=i {
            let known: f64 = match lower.get(j) {
                Some(other) => new.iter().zip(other).map(|(a, b)| a * b).sum(),
                None => new.iter().map(|a| a * a).sum(),
            };
            let rest = row.get(j).copied().unwrap_or(0.0) - known;
            new.push(match lower.get(j).and_then(|other| other.get(j)) {
                Some(diagonal) => rest / diagonal,
                None => rest.max(1e-6).sqrt(),
            });
        }
        lower.push(new);
    }
    lower
}

fn forward(lower: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut result: Vec<f64> = Vec::with_capacity(right.len());
    for (row, b) in lower.iter().zip(right) {
        let known: f64 = row.iter().zip(&result).map(|(a, x)| a * x).sum();
        result.push((b - known) / row.last().copied().unwrap_or(1.0));
    }
    result
}
