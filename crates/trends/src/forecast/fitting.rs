//! Parameters of the methods: those that would have erred least.

use super::models::{Core, Method, Model};
use super::profile::Profiles;

/// Fits a method to values (NaN for gaps) whose seasons are known, and leaves it before the first of them: learning them
/// all brings it to the end. None where there is too little.
pub fn fit(
    method: Method,
    values: &[f64],
    profiles: &Profiles,
    newest: usize,
    ahead: usize,
) -> Option<Model> {
    // Without their seasons, and of a long series the newest part only: parameters need no more.
    let skipped = values.len().saturating_sub(newest);
    let mut adjusted = vec![0.0; values.len()];
    profiles.add_to(&mut adjusted);
    for (slot, x) in adjusted.iter_mut().zip(values) {
        *slot = x - *slot;
    }
    let recent = adjusted.get(skipped..)?;
    let count = recent.iter().filter(|x| !x.is_nan()).count();
    let start = start_level(&adjusted)?;
    let plain = |core| {
        Some(Model {
            method,
            core,
            profiles: profiles.clone(),
            gamma: 0.0,
            next: 0,
        })
    };
    match method {
        Method::Naive => plain(Core::Level {
            level: start,
            alpha: 1.0,
        }),
        Method::SeasonalNaive => {
            let period = profiles.longest()?;
            let last: Vec<f64> = (0..period)
                .map(|i| {
                    let mut same = values.iter().skip(i).step_by(period).copied();
                    same.find(|x| !x.is_nan()).unwrap_or(start)
                })
                .collect();
            Some(Model {
                method,
                core: Core::Season { last, at: 0 },
                profiles: Profiles::none(),
                gamma: 0.0,
                next: 0,
            })
        }
        Method::Smoothing => {
            let alpha = best_alpha(recent, 0.0, ahead)?.0;
            with_gamma(
                plain(Core::Level {
                    level: start,
                    alpha,
                })?,
                values,
                skipped,
            )
        }
        Method::Theta => {
            if count < 8 {
                return None;
            }
            let drift = 0.5 * line(&adjusted)?.1;
            let alpha = best_alpha(recent, drift, ahead)?.0;
            with_gamma(
                plain(Core::Drift {
                    level: start,
                    drift,
                    alpha,
                })?,
                values,
                skipped,
            )
        }
        Method::Damped => {
            if count < 10 {
                return None;
            }
            let core = best_trend(recent, ahead)?;
            // Back to the beginning of the whole series.
            let Core::Trend {
                alpha, beta, phi, ..
            } = core
            else {
                return None;
            };
            with_gamma(
                plain(Core::Trend {
                    level: start,
                    slope: 0.0,
                    alpha,
                    beta,
                    phi,
                })?,
                values,
                skipped,
            )
        }
        Method::Reverting => {
            if count < 10 {
                return None;
            }
            let (alpha, rho) = best_reverting(recent, ahead)?;
            with_gamma(
                plain(Core::Revert {
                    mean: start_mean(&adjusted, alpha)?,
                    slope: 0.0,
                    alpha,
                    rho,
                    distance: 0.0,
                })?,
                values,
                skipped,
            )
        }
        Method::Line => {
            if count < 20 {
                return None;
            }
            let (level, slope) = line(&adjusted)?;
            let rests: Vec<f64> = adjusted
                .iter()
                .enumerate()
                .map(|(i, x)| x - level - slope * i as f64)
                .collect();
            let rho = lag_one(&rests);
            with_gamma(
                plain(Core::Revert {
                    mean: level - slope,
                    slope,
                    alpha: 0.0,
                    rho,
                    distance: 0.0,
                })?,
                values,
                skipped,
            )
        }
        Method::Intermittent => {
            let some: Vec<f64> = values
                .iter()
                .copied()
                .filter(|x| !x.is_nan() && *x != 0.0)
                .collect();
            let all = values.iter().filter(|x| !x.is_nan()).count();
            if some.len() < 2 || all < 8 || values.iter().any(|x| *x < 0.0) {
                return None;
            }
            let size = crate::robust::mean(&some);
            let chance = some.len() as f64 / all as f64;
            let mut best: Option<(f64, Core)> = None;
            for alpha in [0.02, 0.1, 0.2] {
                for beta in [0.02, 0.05, 0.1, 0.2] {
                    let start = Core::Demand {
                        chance,
                        size,
                        alpha,
                        beta,
                    };
                    let loss = squared_errors(start.clone(), values);
                    if best.as_ref().is_none_or(|(least, _)| loss < *least) {
                        best = Some((loss, start));
                    }
                }
            }
            Some(Model {
                method,
                core: best?.1,
                profiles: Profiles::none(),
                gamma: 0.0,
                next: 0,
            })
        }
    }
}

/// Median of the first values.
fn start_level(adjusted: &[f64]) -> Option<f64> {
    let mut first: Vec<f64> = adjusted
        .iter()
        .copied()
        .filter(|x| !x.is_nan())
        .take(5)
        .collect();
    crate::robust::median(&mut first)
}

fn start_mean(adjusted: &[f64], alpha: f64) -> Option<f64> {
    let count = if alpha > 0.0 { 50 } else { usize::MAX };
    let some: Vec<f64> = adjusted
        .iter()
        .copied()
        .filter(|x| !x.is_nan())
        .take(count)
        .collect();
    if some.is_empty() {
        None
    } else {
        Some(crate::robust::mean(&some))
    }
}

fn squared_errors(mut core: Core, values: &[f64]) -> f64 {
    let mut loss = 0.0;
    for x in values {
        if !x.is_nan() {
            loss += (x - core.ahead(1)).powi(2);
        }
        core.learn(*x);
    }
    loss
}

/// Parameters that are tried in one pass: each alone waits for its own last step.
const LANES: usize = 8;

/// Sums of squared errors so many steps ahead, of smoothing with a fixed drift.
fn smoothing_losses(
    values: &[f64],
    start: f64,
    alphas: &[f64; LANES],
    drift: f64,
    ahead: usize,
) -> [f64; LANES] {
    let mut levels = [start; LANES];
    let mut losses = [0.0; LANES];
    let rise = drift * ahead as f64;
    for (x, y) in values.iter().zip(values.iter().skip(ahead - 1)) {
        if !y.is_nan() {
            for (loss, level) in losses.iter_mut().zip(&levels) {
                let error = y - level - rise;
                *loss += error * error;
            }
        }
        let known = if x.is_nan() { 0.0 } else { 1.0 };
        let x = if x.is_nan() { 0.0 } else { *x };
        for (level, alpha) in levels.iter_mut().zip(alphas) {
            *level += drift;
            *level += known * alpha * (x - *level);
        }
    }
    losses
}

fn least(losses: &[f64]) -> Option<usize> {
    (0..losses.len()).min_by(|a, b| {
        let loss = |i: &usize| losses.get(*i).copied().unwrap_or(f64::INFINITY);
        loss(a).total_cmp(&loss(b))
    })
}

/// The best weight of the newest value: of a grid, and then of what lies around the best.
fn best_alpha(values: &[f64], drift: f64, ahead: usize) -> Option<(f64, f64)> {
    let start = start_level(values)?;
    let grid = [0.01, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8, 1.0];
    let losses = smoothing_losses(values, start, &grid, drift, ahead);
    let best = least(&losses)?;
    let low = grid.get(best.saturating_sub(1)).copied()?;
    let high = grid.get(best + 1).or_else(|| grid.last()).copied()?;
    let mut fine = [0.0; LANES];
    for (i, slot) in fine.iter_mut().enumerate() {
        *slot = low + (high - low) * (i + 1) as f64 / (LANES + 1) as f64;
    }
    let fine_losses = smoothing_losses(values, start, &fine, drift, ahead);
    let finest = least(&fine_losses)?;
    let (a, b) = (*losses.get(best)?, *fine_losses.get(finest)?);
    Some(if b < a {
        (*fine.get(finest)?, b)
    } else {
        (*grid.get(best)?, a)
    })
}

/// Weights of the newest value for level and trend, and how fast the trend fades.
fn best_trend(values: &[f64], ahead: usize) -> Option<Core> {
    let start = start_level(values)?;
    let losses = |alphas: &[f64; LANES], betas: &[f64; LANES], phi: f64| -> [f64; LANES] {
        let reach = phi * (1.0 - phi.powf(ahead as f64)) / (1.0 - phi);
        let (mut levels, mut slopes, mut losses) = ([start; LANES], [0.0; LANES], [0.0; LANES]);
        for (x, y) in values.iter().zip(values.iter().skip(ahead - 1)) {
            if !y.is_nan() {
                for ((loss, level), slope) in losses.iter_mut().zip(&levels).zip(&slopes) {
                    let error = y - level - reach * slope;
                    *loss += error * error;
                }
            }
            let known = if x.is_nan() { 0.0 } else { 1.0 };
            let x = if x.is_nan() { 0.0 } else { *x };
            for ((level, slope), (alpha, beta)) in levels
                .iter_mut()
                .zip(&mut slopes)
                .zip(alphas.iter().zip(betas))
            {
                let expected = *level + phi * *slope;
                let error = known * (x - expected);
                *level = expected + alpha * error;
                *slope = phi * *slope + beta * error;
            }
        }
        losses
    };
    let mut best: Option<(f64, f64, f64, f64)> = None;
    let mut consider = |alphas: &[f64; LANES], betas: &[f64; LANES], phi: f64| {
        let found = losses(alphas, betas, phi);
        if let Some(i) = least(&found)
            && let (Some(loss), Some(alpha), Some(beta)) =
                (found.get(i), alphas.get(i), betas.get(i))
            && best.is_none_or(|b| *loss < b.0)
        {
            best = Some((*loss, *alpha, *beta, phi));
        }
        best
    };
    let alphas = [0.1, 0.1, 0.3, 0.3, 0.6, 0.6, 0.9, 0.9];
    let betas = [0.001, 0.01, 0.005, 0.05, 0.01, 0.1, 0.02, 0.2];
    let mut coarse = None;
    for phi in [0.8, 0.9, 0.98] {
        coarse = consider(&alphas, &betas, phi);
    }
    let (_, alpha, beta, phi) = coarse?;
    let around = |value: f64, factors: [f64; LANES]| factors.map(|f| (value * f).min(1.0));
    let (_, alpha, beta, phi) = consider(
        &around(alpha, [0.6, 0.6, 0.8, 0.8, 1.2, 1.2, 1.5, 1.5]),
        &around(beta, [0.4, 1.8, 0.4, 1.8, 0.4, 1.8, 0.4, 1.8]),
        phi,
    )?;
    Some(Core::Trend {
        level: start,
        slope: 0.0,
        alpha,
        beta,
        phi,
    })
}

fn best_reverting(values: &[f64], ahead: usize) -> Option<(f64, f64)> {
    let mut best: Option<(f64, f64, f64)> = None;
    let mut known: Vec<(f64, f64)> = Vec::with_capacity(values.len());
    for alpha in [0.0, 0.003, 0.01, 0.03, 0.08] {
        let mut mean = start_mean(values, alpha)?;
        // Regression of each distance on the one before.
        let (mut products, mut squares) = (0.0, 0.0);
        let mut before = f64::NAN;
        known.clear();
        for x in values {
            // What is known when this value is to come.
            known.push((mean, before));
            let distance = x - mean;
            if distance.is_nan() {
                before = f64::NAN;
                continue;
            }
            if !before.is_nan() {
                products += before * distance;
                squares += before * before;
            }
            mean += alpha * distance;
            before = x - mean;
        }
        let rho = if squares > 0.0 {
            (products / squares).clamp(0.0, 0.99)
        } else {
            0.0
        };
        let left = rho.powf(ahead as f64);
        let mut loss = 0.0;
        for ((mean, distance), y) in known.iter().zip(values.iter().skip(ahead - 1)) {
            let error = y
                - mean
                - if distance.is_nan() {
                    0.0
                } else {
                    left * distance
                };
            loss += if error.is_nan() { 0.0 } else { error * error };
        }
        if best.is_none_or(|(least, ..)| loss < least) {
            best = Some((loss, alpha, rho));
        }
    }
    best.map(|(_, alpha, rho)| (alpha, rho))
}

fn lag_one(rests: &[f64]) -> f64 {
    let (mut products, mut squares) = (0.0, 0.0);
    for (a, b) in rests.iter().zip(rests.iter().skip(1)) {
        if !a.is_nan() && !b.is_nan() {
            products += a * b;
            squares += a * a;
        }
    }
    if squares > 0.0 {
        (products / squares).clamp(0.0, 0.99)
    } else {
        0.0
    }
}

/// Least squares; level at place 0 and slope.
pub fn line(values: &[f64]) -> Option<(f64, f64)> {
    let (mut n, mut st, mut sx) = (0.0, 0.0, 0.0);
    for (i, x) in values.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
        n += 1.0;
        st += i as f64;
        sx += x;
    }
    if n < 2.0 {
        return None;
    }
    let (mt, mx) = (st / n, sx / n);
    let (mut stt, mut stx) = (0.0, 0.0);
    for (i, x) in values.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
        stt += (i as f64 - mt).powi(2);
        stx += (i as f64 - mt) * (x - mx);
    }
    let slope = if stt > 0.0 { stx / stt } else { 0.0 };
    Some((mx - slope * mt, slope))
}

/// How fast should the seasons follow? As it would have been best so far.
fn with_gamma(model: Model, values: &[f64], skipped: usize) -> Option<Model> {
    if model.profiles.is_none() {
        return Some(model);
    }
    let mut best: Option<(f64, f64)> = None;
    for gamma in [0.0, 0.1, 0.25] {
        let mut trial = model.clone();
        trial.gamma = gamma;
        let mut loss = 0.0;
        for (i, x) in values.iter().enumerate() {
            if i >= skipped && !x.is_nan() {
                loss += (x - trial.expected()).powi(2);
            }
            trial.learn(*x);
        }
        // Standing still is simpler.
        let loss = if gamma > 0.0 { loss * 1.01 } else { loss };
        if best.is_none_or(|(least, _)| loss < least) {
            best = Some((loss, gamma));
        }
    }
    Some(Model {
        gamma: best?.1,
        ..model
    })
}
