//! What a series is like: whether it counts, is mostly zero, or swings with its level.

use super::profile::Profiles;
use crate::robust;

/// Whole numbers, none below zero: how often something happened.
pub fn looks_like_counts(values: &[f64]) -> bool {
    values
        .iter()
        .all(|x| x.is_nan() || (*x >= 0.0 && x.fract() == 0.0))
}

/// More than a third of the values are zero and none is below.
pub fn is_intermittent(values: &[f64]) -> bool {
    let there = values.iter().filter(|x| !x.is_nan());
    let (zeros, all) = there.fold((0_usize, 0_usize), |(z, n), x| {
        (z + usize::from(*x == 0.0), n + 1)
    });
    zeros * 3 > all && zeros < all && !values.iter().any(|x| *x < 0.0)
}

/// Single values that are impossibly far from their neighbours are gaps, so that they do not bend everything that comes.
pub fn without_outliers(values: &[f64], periods: &[usize], is_intermittent: bool) -> Vec<f64> {
    if is_intermittent {
        return values.to_vec();
    }
    let profiles = Profiles::learn(values, periods);
    let mut flat = vec![0.0; values.len()];
    profiles.add_to(&mut flat);
    for (slot, x) in flat.iter_mut().zip(values) {
        *slot = x - *slot;
    }
    let rests: Vec<f64> = (0..flat.len())
        .map(|i| {
            let near = flat
                .get(i.saturating_sub(2)..(i + 3).min(flat.len()))
                .unwrap_or_default();
            let mut five = [0.0; 5];
            let mut n = 0;
            for (slot, x) in five.iter_mut().zip(near.iter().filter(|x| !x.is_nan())) {
                *slot = *x;
                n += 1;
            }
            let center = five.get_mut(..n).and_then(robust::median).unwrap_or(0.0);
            flat.get(i).map_or(0.0, |x| x - center)
        })
        .collect();
    let there: Vec<f64> = rests.iter().copied().filter(|x| !x.is_nan()).collect();
    let sigma = robust::sigma_about(&there, 0.0);
    let far = there.iter().filter(|r| r.abs() > 8.0 * sigma).count();
    if sigma <= 0.0 || far * 50 > there.len() {
        return values.to_vec();
    }
    values
        .iter()
        .zip(&rests)
        .map(|(x, r)| if r.abs() > 8.0 * sigma { f64::NAN } else { *x })
        .collect()
}

/// Whether the size of the swings follows the level, in a series of positive values whose level changes much.
pub fn grows_with_level(values: &[f64], periods: &[usize]) -> bool {
    if values.iter().any(|x| *x <= 0.0) {
        return false;
    }
    let width = periods
        .iter()
        .copied()
        .max()
        .unwrap_or(values.len() / 8)
        .max(4);
    let mut windows: Vec<(f64, f64)> = Vec::new();
    for chunk in values.rchunks_exact(width) {
        let there: Vec<f64> = chunk.iter().copied().filter(|x| !x.is_nan()).collect();
        if there.len() * 2 > width {
            let center = robust::mean(&there);
            let spread = (there.iter().map(|x| (x - center).powi(2)).sum::<f64>()
                / there.len() as f64)
                .sqrt();
            windows.push((center, spread));
        }
    }
    if windows.len() < 4 {
        return false;
    }
    let (low, high) = windows.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), w| {
        (l.min(w.0), h.max(w.0))
    });
    let n = windows.len() as f64;
    let mean = windows
        .iter()
        .fold((0.0, 0.0), |s, w| (s.0 + w.0 / n, s.1 + w.1 / n));
    let (mut a, mut b, mut ab) = (0.0, 0.0, 0.0);
    for (center, spread) in &windows {
        a += (center - mean.0).powi(2);
        b += (spread - mean.1).powi(2);
        ab += (center - mean.0) * (spread - mean.1);
    }
    high > 1.5 * low && a > 0.0 && b > 0.0 && ab / (a * b).sqrt() > 0.6
}

/// Mean absolute difference from one season (or step) to the next.
pub fn seasonal_scale(values: &[f64], periods: &[usize]) -> f64 {
    let lag = periods.iter().copied().min().unwrap_or(1);
    let (mut sum, mut count) = (0.0, 0.0);
    for (a, b) in values.iter().zip(values.iter().skip(lag)) {
        if !a.is_nan() && !b.is_nan() {
            sum += (b - a).abs();
            count += 1.0;
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}
