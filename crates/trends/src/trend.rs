//! Direction of a series: Mann and Kendall's test, and the median slope with its confidence interval (Theil and Sen).
//!
//! Both count pairs, so that no distribution is assumed and a few wild values do not matter. Values that resemble their
//! neighbours are worth fewer: the variance grows with the autocorrelation of what is left after the slope.

use crate::distributions::{normal_above, normal_quantile};
use crate::error::{Error, Watch};
use crate::robust;
use crate::seasons::autocorrelation;

/// Longer series are compared by blocks of neighbours: the pairs are many.
const MOST_PLACES: usize = 1_500;
/// Fewest values that have a direction.
pub const FEWEST: usize = 4;

/// The answer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Trend {
    /// Change from one place to the next.
    pub slope: f64,
    /// Confidence interval of the slope.
    pub slope_lower: f64,
    /// Confidence interval of the slope.
    pub slope_upper: f64,
    /// Value of the line at the first place.
    pub intercept: f64,
    /// Kendall's tau, -1 to 1: how far the order of values is the order of time.
    pub tau: f64,
    /// Probability of a tau as far from 0 in a series without a trend.
    pub p_value: f64,
    /// Number of values.
    pub count: usize,
}

/// The trend of values of equal steps, NaN for gaps; none for fewer than 4 values.
///
/// # Errors
/// When interrupted.
pub fn trend(values: &[f64], confidence: f64, watch: &dyn Watch) -> Result<Option<Trend>, Error> {
    let block = values.len().div_ceil(MOST_PLACES).max(1);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (i, chunk) in values.chunks(block).enumerate() {
        let there: Vec<f64> = chunk.iter().copied().filter(|x| !x.is_nan()).collect();
        if !there.is_empty() {
            points.push((
                (i * block) as f64 + (chunk.len() - 1) as f64 / 2.0,
                robust::mean(&there),
            ));
        }
    }
    let n = points.len();
    if n < FEWEST {
        return Ok(None);
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let mut score = 0_i64;
    for (i, (t, x)) in points.iter().enumerate() {
        if i % 64 == 0 {
            watch.check()?;
        }
        for (later, y) in points.iter().skip(i + 1) {
            slopes.push((y - x) / (later - t));
            score += i64::from(y > x) - i64::from(y < x);
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    watch.check()?;
    let slope = robust::median_of_sorted(&slopes).unwrap_or(0.0);
    let mut rests: Vec<f64> = points.iter().map(|(t, x)| x - slope * t).collect();
    let rest = rests.clone();
    let intercept = robust::median(&mut rests).unwrap_or(0.0);

    let variance = variance_of_score(&points) * inflation(&rest, watch)?;
    let deviation = variance.sqrt();
    let p_value = if deviation > 0.0 && score != 0 {
        let z = (score.unsigned_abs() as f64 - 1.0) / deviation;
        (2.0 * normal_above(z)).min(1.0)
    } else {
        1.0
    };
    let width = normal_quantile(0.5 + confidence / 2.0) * deviation;
    let pairs = slopes.len() as f64;
    let at = |rank: f64| {
        robust::quantile_of_sorted(&slopes, rank / (pairs - 1.0).max(1.0)).unwrap_or(slope)
    };
    Ok(Some(Trend {
        slope,
        slope_lower: at((pairs - width) / 2.0 - 1.0),
        slope_upper: at(f64::midpoint(pairs, width)),
        intercept,
        tau: score as f64 / pairs,
        p_value,
        count: values.iter().filter(|x| !x.is_nan()).count(),
    }))
}

/// Of a series without trend and autocorrelation; equal values carry less.
fn variance_of_score(points: &[(f64, f64)]) -> f64 {
    let each = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut sorted: Vec<f64> = points.iter().map(|p| p.1).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|tie| each(tie.len() as f64))
        .sum();
    (each(points.len() as f64) - ties) / 18.0
}

/// How much autocorrelation adds to the variance (Hamed and Rao, 1998): significant lags only.
fn inflation(rest: &[f64], watch: &dyn Watch) -> Result<f64, Error> {
    let n = rest.len() as f64;
    // Ranks, as the test sees the values.
    let mut order: Vec<usize> = (0..rest.len()).collect();
    order.sort_by(|a, b| value(rest, *a).total_cmp(&value(rest, *b)));
    let mut ranks = vec![0.0; rest.len()];
    for tie in order.chunk_by(|a, b| value(rest, *a).total_cmp(&value(rest, *b)).is_eq()) {
        let first = tie.first().map_or(0.0, |i| value(rest, *i));
        let below = rest.iter().filter(|x| **x < first).count();
        for i in tie {
            if let Some(slot) = ranks.get_mut(*i) {
                *slot = below as f64 + (tie.len() as f64 - 1.0) / 2.0;
            }
        }
    }
    let most = rest.len() / 4;
    let correlations = autocorrelation(&ranks, most, watch)?;
    let limit = 1.96 / n.sqrt();
    let mut sum = 0.0;
    for (lag, r) in correlations.iter().enumerate().skip(1) {
        // What follows the first insignificant lag is noise.
        if r.abs() <= limit {
            break;
        }
        let left = n - lag as f64;
        sum += left * (left - 1.0) * (left - 2.0) * r;
    }
    Ok((1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum).max(1.0))
}

fn value(values: &[f64], i: usize) -> f64 {
    values.get(i).copied().unwrap_or(0.0)
}
