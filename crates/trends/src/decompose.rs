//! Trend, seasons and remainder: STL (Cleveland and others, 1990), and for several seasons one after the other, each
//! time without the others (MSTL). Robust: what the first pass cannot explain weighs little in the next.

use crate::error::{Error, Watch};
use crate::robust;
use crate::series::filled;

/// The parts of a series; they add up to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Slow movement.
    pub trend: Vec<f64>,
    /// One for each period, in the order given.
    pub seasons: Vec<Vec<f64>>,
    /// What is left; NaN where there is no value.
    pub remainder: Vec<f64>,
    /// The periods that were used.
    pub periods: Vec<usize>,
}

/// Passes over several seasons.
const PASSES: usize = 2;

/// Decomposes values of equal steps, NaN for gaps. Periods that do not fit twice into the series are left out.
///
/// # Errors
/// When interrupted.
pub fn decompose(
    values: &[f64],
    periods: &[usize],
    is_robust: bool,
    watch: &dyn Watch,
) -> Result<Parts, Error> {
    let n = values.len();
    let mut periods: Vec<usize> = periods
        .iter()
        .copied()
        .filter(|p| *p >= 2 && *p * 2 <= n)
        .collect();
    periods.sort_unstable();
    periods.dedup();
    let Some(mut full) = filled(values) else {
        return Ok(Parts {
            trend: vec![f64::NAN; n],
            seasons: vec![vec![f64::NAN; n]; periods.len()],
            remainder: values.to_vec(),
            periods,
        });
    };
    let present: Vec<f64> = values
        .iter()
        .map(|x| f64::from(u8::from(!x.is_nan())))
        .collect();
    let has_gaps = present.contains(&0.0);
    let mut weights = present.clone();
    let mut seasons = vec![vec![0.0; n]; periods.len()];
    let mut trend = vec![0.0; n];
    let rounds = if is_robust { 3 } else { 1 };
    for round in 0..rounds {
        if periods.is_empty() {
            watch.check()?;
            trend = loess(&full, &weights, odd((n * 2 / 5).max(7)));
        }
        for pass in 0..PASSES.min(periods.len()) {
            for i in 0..periods.len() {
                watch.check()?;
                let (Some(period), Some(mine)) = (periods.get(i).copied(), seasons.get(i)) else {
                    continue;
                };
                let mut rest = full.clone();
                for (j, season) in seasons.iter().enumerate() {
                    if i != j {
                        subtract(&mut rest, season);
                    }
                }
                let start = if round + pass == 0 {
                    None
                } else {
                    Some((&trend, mine))
                };
                let (s, t) = stl(
                    &rest,
                    &weights,
                    period,
                    11 + 4 * i,
                    start.map(|s| s.0.as_slice()),
                    watch,
                )?;
                if let Some(slot) = seasons.get_mut(i) {
                    *slot = s;
                }
                trend = t;
            }
        }
        if has_gaps {
            for (i, slot) in full.iter_mut().enumerate() {
                if values.get(i).is_some_and(|x| x.is_nan()) {
                    *slot = at(&trend, i) + seasons.iter().map(|s| at(s, i)).sum::<f64>();
                }
            }
        }
        if round + 1 < rounds {
            let remainder = left(values, &trend, &seasons);
            weights = bisquare(&remainder);
        }
    }
    Ok(Parts {
        remainder: left(values, &trend, &seasons),
        trend,
        seasons,
        periods,
    })
}

fn at(values: &[f64], i: usize) -> f64 {
    values.get(i).copied().unwrap_or(0.0)
}

fn subtract(from: &mut [f64], what: &[f64]) {
    for (a, b) in from.iter_mut().zip(what) {
        *a -= b;
    }
}

fn left(values: &[f64], trend: &[f64], seasons: &[Vec<f64>]) -> Vec<f64> {
    let mut rest = values.to_vec();
    subtract(&mut rest, trend);
    for season in seasons {
        subtract(&mut rest, season);
    }
    rest
}

/// Weights that fall from 1 at no remainder to 0 at six times the median one.
fn bisquare(remainder: &[f64]) -> Vec<f64> {
    let mut sizes: Vec<f64> = remainder
        .iter()
        .map(|r| r.abs())
        .filter(|r| !r.is_nan())
        .collect();
    let limit = 6.0 * robust::median(&mut sizes).unwrap_or(0.0);
    remainder
        .iter()
        .map(|r| {
            if r.is_nan() {
                0.0
            } else if limit <= 0.0 {
                1.0
            } else {
                let u = (r.abs() / limit).min(1.0);
                (1.0 - u * u).powi(2)
            }
        })
        .collect()
}

fn odd(n: usize) -> usize {
    n | 1
}

/// One seasonal part and the trend.
fn stl(
    values: &[f64],
    weights: &[f64],
    period: usize,
    span: usize,
    trend: Option<&[f64]>,
    watch: &dyn Watch,
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let n = values.len();
    let span_trend = odd((1.5 * period as f64 / (1.0 - 1.5 / span as f64))
        .ceil()
        .min(1e6) as usize);
    let mut trend = trend.map_or_else(|| vec![0.0; n], <[f64]>::to_vec);
    let mut season = vec![0.0; n];
    for _ in 0..2 {
        watch.check()?;
        // Each place in the season by itself, and one season more at either end.
        let mut cycle = vec![0.0; n + 2 * period];
        for phase in 0..period {
            let sub: Vec<f64> = (phase..n)
                .step_by(period)
                .map(|i| at(values, i) - at(&trend, i))
                .collect();
            let sub_weights: Vec<f64> =
                (phase..n).step_by(period).map(|i| at(weights, i)).collect();
            let smooth = loess_extended(&sub, &sub_weights, span);
            for (k, value) in smooth.into_iter().enumerate() {
                if let Some(slot) = cycle.get_mut(phase + k * period) {
                    *slot = value;
                }
            }
        }
        let low = moving_mean(&moving_mean(&moving_mean(&cycle, period), period), 3);
        let ones = vec![1.0; low.len()];
        let low = loess(&low, &ones, odd(period));
        for (i, slot) in season.iter_mut().enumerate() {
            *slot = at(&cycle, i + period) - at(&low, i);
        }
        let mut adjusted = values.to_vec();
        subtract(&mut adjusted, &season);
        trend = loess(&adjusted, weights, span_trend);
    }
    Ok((season, trend))
}

/// Means of `width` neighbours; `width - 1` fewer than there were.
fn moving_mean(values: &[f64], width: usize) -> Vec<f64> {
    let mut sum: f64 = values.iter().take(width).sum();
    let mut result = Vec::with_capacity(values.len());
    if values.len() < width {
        return result;
    }
    result.push(sum / width as f64);
    for (new, old) in values.iter().skip(width).zip(values) {
        sum += new - old;
        result.push(sum / width as f64);
    }
    result
}

/// A straight line through the weighted neighbours of `x`, at `x`; their weighted mean where there is no line.
fn local_line(
    values: &[f64],
    weights: &[f64],
    x: f64,
    from: usize,
    to: usize,
    reach: f64,
) -> Option<f64> {
    let (mut w_sum, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let pairs = values.get(from..to)?.iter().zip(weights.get(from..to)?);
    for (i, (y, weight)) in pairs.enumerate() {
        let d = (from + i) as f64 - x;
        let u = d.abs() / reach;
        if u >= 1.0 || *weight <= 0.0 {
            continue;
        }
        let cube = 1.0 - u * u * u;
        let w = weight * cube * cube * cube;
        w_sum += w;
        wx += w * d;
        wy += w * y;
        wxx += w * d * d;
        wxy += w * d * y;
    }
    if w_sum <= 0.0 {
        return None;
    }
    let (mx, my) = (wx / w_sum, wy / w_sum);
    let spread = wxx / w_sum - mx * mx;
    if spread <= 1e-9 {
        return Some(my);
    }
    let slope = (wxy / w_sum - mx * my) / spread;
    Some(my - slope * mx)
}

fn smooth_at(values: &[f64], weights: &[f64], x: f64, span: usize) -> f64 {
    let n = values.len();
    let span_here = span.min(n);
    let nearest = x.clamp(0.0, (n.max(1) - 1) as f64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within the series
    let from = (nearest - (span_here as f64 - 1.0) / 2.0).ceil().max(0.0) as usize;
    let from = from.min(n - span_here);
    let to = from + span_here;
    let mut reach = (x - from as f64).abs().max((x - (to as f64 - 1.0)).abs());
    if span > n {
        reach += (span - n) as f64 / 2.0;
    }
    let reach = reach.max(1.0) * 1.001;
    local_line(values, weights, x, from, to, reach)
        // All neighbours are gaps or outliers: as they are.
        .or_else(|| local_line(values, &vec![1.0; n], x, from, to, reach))
        .unwrap_or(0.0)
}

/// Local regression of equally spaced values at each of them. Computed at every tenth of the span, straight between.
pub fn loess(values: &[f64], weights: &[f64], span: usize) -> Vec<f64> {
    let n = values.len();
    if n < 2 {
        return values.to_vec();
    }
    let jump = (span / 10).max(1);
    let mut result = vec![0.0; n];
    let mut before = 0;
    let mut value = smooth_at(values, weights, 0.0, span);
    loop {
        let next = (before + jump).min(n - 1);
        let next_value = smooth_at(values, weights, next as f64, span);
        let width = (next - before).max(1) as f64;
        for (k, slot) in result.iter_mut().take(next + 1).skip(before).enumerate() {
            *slot = value + (next_value - value) * k as f64 / width;
        }
        if next == n - 1 {
            return result;
        }
        before = next;
        value = next_value;
    }
}

/// The same, from one before the first to one after the last.
fn loess_extended(values: &[f64], weights: &[f64], span: usize) -> Vec<f64> {
    let n = values.len();
    let mut result = Vec::with_capacity(n + 2);
    result.push(smooth_at(values, weights, -1.0, span));
    result.extend((0..n).map(|i| smooth_at(values, weights, i as f64, span)));
    result.push(smooth_at(values, weights, n as f64, span));
    result
}
