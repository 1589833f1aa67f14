//! Points at which the level or the spread of a series changes.
//!
//! The best division of the series into pieces of constant level, where each piece costs a penalty (PELT, Killick and
//! others, 2012). The penalty grows with the autocorrelation, which is measured on differences, so that a slow wave is
//! not a staircase; single outliers are moved in first and make no piece.

use crate::distributions::normal_above;
use crate::error::{Error, Watch};
use crate::robust;
use crate::series::filled;

/// Fewest values between two changes.
pub const SHORTEST: usize = 5;
/// Longer series are divided by blocks of neighbours.
const MOST_PLACES: usize = 20_000;

/// Standard errors from which a change is clear.
const CLEAR: f64 = 4.0;
/// Noise is at least this share of the spread.
const LEAST_NOISE: f64 = 0.01;

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The mean.
    Level,
    /// The size of deviations from the mean.
    Spread,
}

/// A change.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Change {
    /// First place of what is new.
    pub at: usize,
    /// Level or spread.
    pub kind: Kind,
    /// Mean before (of a spread: the mean absolute deviation).
    pub before: f64,
    /// The same after.
    pub after: f64,
    /// Difference in standard errors; larger is surer.
    pub strength: f64,
    /// 1 less the probability that chance does this at one given place.
    pub confidence: f64,
}

/// Finds changes in values of equal steps, NaN for gaps. `sensitivity` from 0 (only the clearest) to 1; 0.5 is usual.
///
/// # Errors
/// When interrupted.
pub fn change_points(
    values: &[f64],
    sensitivity: f64,
    watch: &dyn Watch,
) -> Result<Vec<Change>, Error> {
    let Some(full) = filled(values) else {
        return Ok(Vec::new());
    };
    let mut changes = Vec::new();
    let mut deviations = full.clone();
    for change in pieces(&full, Kind::Level, sensitivity, watch)? {
        changes.push(change);
    }
    // Spread is judged around the level of each piece.
    let mut from = 0;
    let ends: Vec<usize> = changes.iter().map(|c| c.at).chain([full.len()]).collect();
    for end in ends {
        if let Some(piece) = full.get(from..end) {
            let center = robust::median(&mut piece.to_vec()).unwrap_or(0.0);
            for slot in deviations.iter_mut().take(end).skip(from) {
                *slot = (*slot - center).abs();
            }
        }
        from = end;
    }
    let levels: Vec<usize> = changes.iter().map(|c| c.at).collect();
    for change in pieces(&deviations, Kind::Spread, sensitivity, watch)? {
        if !levels
            .iter()
            .any(|at| at.abs_diff(change.at) < 2 * SHORTEST)
        {
            changes.push(change);
        }
    }
    changes.sort_by_key(|c| c.at);
    Ok(changes)
}

fn pieces(
    values: &[f64],
    kind: Kind,
    sensitivity: f64,
    watch: &dyn Watch,
) -> Result<Vec<Change>, Error> {
    let block = values.len().div_ceil(MOST_PLACES).max(1);
    let means: Vec<f64> = values.chunks(block).map(robust::mean).collect();
    let n = means.len();
    if n < 2 * SHORTEST {
        return Ok(Vec::new());
    }
    let (sigma, correlation) = noise(&means);
    let tame = moved_in(&means, sigma);
    // Neighbours that resemble each other are worth fewer values.
    let inflation = (1.0 + correlation) / (1.0 - correlation);
    // A series that does not vary between its levels has no noise to measure: a little of its spread stands in for it.
    let spread = robust::sigma_about(&tame, robust::mean(&tame));
    let scale = sigma.max(LEAST_NOISE * spread);
    if scale <= 0.0 {
        return Ok(Vec::new());
    }
    // 0.5 makes 4 ln n: twice what the Bayesian criterion asks for.
    let penalty =
        8.0 * (1.0 - sensitivity.clamp(0.0, 0.99)) * (n as f64).ln() * inflation * scale * scale;
    let cuts = divide(&tame, penalty, watch)?;
    // Each change by the noise of its own two pieces; the weakest goes until all are clear.
    let mut bounds = vec![0];
    bounds.extend(&cuts);
    bounds.push(n);
    loop {
        watch.check()?;
        let changes: Vec<Change> = bounds
            .windows(3)
            .filter_map(|three| {
                let [a, b, c] = three else { return None };
                let (left, right) = (tame.get(*a..*b)?, tame.get(*b..*c)?);
                let (before, after) = (robust::mean(left), robust::mean(right));
                let own = |piece: &[f64], center: f64| -> f64 {
                    let squares: f64 = piece.iter().map(|x| (x - center).powi(2)).sum();
                    let noise = (squares / piece.len() as f64).max(0.25 * scale * scale);
                    noise / piece.len() as f64
                };
                let error = (inflation * (own(left, before) + own(right, after))).sqrt();
                let strength = (after - before).abs() / error;
                Some(Change {
                    at: b * block,
                    kind,
                    before,
                    after,
                    strength,
                    confidence: 1.0 - 2.0 * normal_above(strength),
                })
            })
            .collect();
        let weakest = changes
            .iter()
            .filter(|c| c.strength < CLEAR)
            .min_by(|a, b| a.strength.total_cmp(&b.strength))
            .map(|c| c.at);
        match weakest {
            Some(weakest) => bounds.retain(|cut| *cut == 0 || cut * block != weakest),
            None => return Ok(changes),
        }
    }
}

/// Standard deviation and lag-one correlation of the noise, from differences, which levels do not touch:
/// var(x[t] - x[t-1]) = 2 s² (1 - r), var(x[t] - x[t-2]) = 2 s² (1 - r²).
fn noise(values: &[f64]) -> (f64, f64) {
    let differences = |lag: usize| -> f64 {
        let d: Vec<f64> = values
            .iter()
            .zip(values.iter().skip(lag))
            .map(|(a, b)| b - a)
            .collect();
        robust::sigma_about(&d, 0.0).powi(2)
    };
    let (one, two) = (differences(1), differences(2));
    if one <= 0.0 {
        return (0.0, 0.0);
    }
    let correlation = (two / one - 1.0).clamp(0.0, 0.9);
    ((one / (2.0 * (1.0 - correlation))).sqrt(), correlation)
}

/// Values far from the median of their neighbours, moved to the edge of what is usual.
fn moved_in(values: &[f64], sigma: f64) -> Vec<f64> {
    let reach = SHORTEST;
    (0..values.len())
        .map(|i| {
            let from = i.saturating_sub(reach);
            let mut near = values
                .get(from..(i + reach + 1).min(values.len()))
                .unwrap_or_default()
                .to_vec();
            let center = robust::median(&mut near).unwrap_or(0.0);
            let x = values.get(i).copied().unwrap_or(center);
            if sigma > 0.0 {
                x.clamp(center - 3.0 * sigma, center + 3.0 * sigma)
            } else {
                center
            }
        })
        .collect()
}

/// PELT: the cuts of the cheapest division into pieces of at least [`SHORTEST`] values.
fn divide(values: &[f64], penalty: f64, watch: &dyn Watch) -> Result<Vec<usize>, Error> {
    let n = values.len();
    let center = robust::mean(values);
    let mut sums = vec![(0.0, 0.0)];
    let (mut sum, mut squares) = (0.0, 0.0);
    for x in values {
        sum += x - center;
        squares += (x - center).powi(2);
        sums.push((sum, squares));
    }
    let cost = |from: usize, to: usize| -> f64 {
        match (sums.get(from), sums.get(to)) {
            (Some(a), Some(b)) => {
                let (s, q) = (b.0 - a.0, b.1 - a.1);
                (q - s * s / (to - from) as f64).max(0.0)
            }
            _ => f64::INFINITY,
        }
    };
    // best[t]: cost of the best division of the first t values, and its last cut.
    let mut best = vec![(f64::INFINITY, 0_usize); n + 1];
    if let Some(first) = best.first_mut() {
        *first = (-penalty, 0);
    }
    let mut open = vec![0_usize];
    for to in SHORTEST..=n {
        if to % 256 == 0 {
            watch.check()?;
        }
        let mut cheapest = (f64::INFINITY, 0);
        let costs: Vec<f64> = open
            .iter()
            .map(|from| best.get(*from).map_or(f64::INFINITY, |b| b.0) + cost(*from, to))
            .collect();
        for (from, c) in open.iter().zip(&costs) {
            if c + penalty < cheapest.0 {
                cheapest = (c + penalty, *from);
            }
        }
        if let Some(slot) = best.get_mut(to) {
            *slot = cheapest;
        }
        // What is dearer without a further cut will be dearer ever after.
        let mut costs = costs.into_iter();
        open.retain(|_| costs.next().is_none_or(|c| c <= cheapest.0));
        if to + 1 >= 2 * SHORTEST {
            open.push(to + 1 - SHORTEST);
        }
    }
    let mut cuts = Vec::new();
    let mut to = n;
    while let Some((_, from)) = best.get(to).copied() {
        if from == 0 {
            break;
        }
        cuts.push(from);
        to = from;
    }
    cuts.reverse();
    Ok(cuts)
}
