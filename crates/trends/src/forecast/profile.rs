//! Seasonal profiles: for each period, how far each place in it is from the level. Recent seasons count more, and
//! neighbours are smoothed where that predicts other seasons better: a year of days has few seasons to learn from.

use crate::robust;
use crate::series::filled;

/// Weight of a season against the next one.
const FADING: f64 = 0.95;
const PASSES: usize = 2;

/// Profiles of all periods, and where in each of them the next value is.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    periods: Vec<Profile>,
}

#[derive(Clone, Debug)]
struct Profile {
    offsets: Vec<f64>,
    next: usize,
}

impl Profiles {
    /// Of a series without seasons.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is no season.
    pub fn is_none(&self) -> bool {
        self.periods.is_empty()
    }

    /// The longest period.
    pub fn longest(&self) -> Option<usize> {
        self.periods.iter().map(|p| p.offsets.len()).max()
    }

    /// All seasons together at the next place.
    pub fn now(&self) -> f64 {
        self.periods
            .iter()
            .map(|p| p.offsets.get(p.next).copied().unwrap_or(0.0))
            .sum()
    }

    /// All seasons together at the next places, added to what is there.
    pub fn add_to(&self, values: &mut [f64]) {
        for profile in &self.periods {
            for (slot, offset) in values
                .iter_mut()
                .zip(profile.offsets.iter().cycle().skip(profile.next))
            {
                *slot += offset;
            }
        }
    }

    /// Moves the profiles at the next place, each by its part.
    pub fn nudge(&mut self, change: f64) {
        let part = change / self.periods.len().max(1) as f64;
        for profile in &mut self.periods {
            if let Some(slot) = profile.offsets.get_mut(profile.next) {
                *slot += part;
            }
        }
    }

    /// Passes a place.
    pub fn advance(&mut self) {
        for profile in &mut self.periods {
            profile.next += 1;
            if profile.next >= profile.offsets.len() {
                profile.next = 0;
            }
        }
    }

    /// Learns profiles from values of equal steps, NaN for gaps.
    pub fn learn(values: &[f64], periods: &[usize]) -> Self {
        let periods: Vec<usize> = periods
            .iter()
            .copied()
            .filter(|p| *p >= 2 && *p * 2 <= values.len())
            .collect();
        let Some(full) = filled(values).filter(|_| !periods.is_empty()) else {
            return Self::none();
        };
        let longest = periods.iter().copied().max().unwrap_or(1);
        let trend = centered_mean(&full, longest);
        // Gaps teach nothing.
        let mut rest: Vec<f64> = values.iter().zip(&trend).map(|(x, t)| x - t).collect();
        tame(&mut rest);
        let mut profiles: Vec<Vec<f64>> = periods.iter().map(|p| vec![0.0; *p]).collect();
        for _ in 0..if periods.len() > 1 { PASSES } else { 1 } {
            for i in 0..profiles.len() {
                let Some(period) = profiles.get(i).map(Vec::len) else {
                    continue;
                };
                let mut alone = rest.clone();
                for (j, other) in profiles.iter().enumerate() {
                    if i != j {
                        for (x, s) in alone.iter_mut().zip(other.iter().cycle()) {
                            *x -= s;
                        }
                    }
                }
                let new = profile(&alone, period);
                if let Some(slot) = profiles.get_mut(i) {
                    *slot = new;
                }
            }
        }
        Self {
            periods: profiles
                .into_iter()
                .map(|offsets| Profile { offsets, next: 0 })
                .collect(),
        }
    }
}

fn tame(rest: &mut [f64]) {
    let mut there: Vec<f64> = rest.iter().copied().filter(|x| !x.is_nan()).collect();
    let center = robust::median(&mut there).unwrap_or(0.0);
    let most = 5.0 * robust::sigma_about(&there, center);
    if most > 0.0 {
        for x in rest {
            // NaN stays.
            *x = x.clamp(center - most, center + most);
        }
    }
}

/// Weighted sums by place, of all seasons and of the odd ones alone.
fn profile(rest: &[f64], period: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); period];
    let mut halves = vec![[(0.0, 0.0); 2]; period];
    let cycles = rest.len().div_ceil(period);
    let mut weight = FADING.powf((cycles.max(1) - 1) as f64);
    for (cycle, chunk) in rest.chunks(period).enumerate() {
        for (place, x) in chunk.iter().enumerate() {
            if x.is_nan() {
                continue;
            }
            if let Some(slot) = sums.get_mut(place) {
                slot.0 += weight * x;
                slot.1 += weight;
            }
            if let Some(slot) = halves.get_mut(place).and_then(|h| h.get_mut(cycle % 2)) {
                slot.0 += x;
                slot.1 += 1.0;
            }
        }
        weight /= FADING;
    }
    let mean = |(sum, weight): (f64, f64)| if weight > 0.0 { sum / weight } else { 0.0 };
    let all: Vec<f64> = sums.into_iter().map(mean).collect();
    if cycles < 2 {
        return centered(all);
    }
    let half = |k: usize| -> Vec<f64> {
        halves
            .iter()
            .map(|h| h.get(k).copied().map_or(0.0, mean))
            .collect()
    };
    let (odd, even) = (half(0), half(1));
    let mut best = (f64::INFINITY, 0);
    for reach in [0, 1, 2, 4, 8, 16, 32] {
        if reach * 20 > period {
            break;
        }
        let (a, b) = (smooth(&odd, reach), smooth(&even, reach));
        let wrong: f64 = a
            .iter()
            .zip(&even)
            .map(|(x, y)| (x - y).powi(2))
            .sum::<f64>()
            + b.iter()
                .zip(&odd)
                .map(|(x, y)| (x - y).powi(2))
                .sum::<f64>();
        // Less smoothing unless more is clearly better.
        if wrong < best.0 * 0.99 {
            best = (wrong, reach);
        }
    }
    let (odd, even) = (
        centered(smooth(&odd, best.1)),
        centered(smooth(&even, best.1)),
    );
    // What the halves have in common is the season; the rest is noise, of which the whole has half as much.
    let common: f64 = odd.iter().zip(&even).map(|(a, b)| a * b).sum();
    let all_variance: f64 = odd.iter().chain(&even).map(|a| a * a).sum::<f64>() / 2.0;
    let agreement = if all_variance > 0.0 {
        (common / all_variance).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let trust = 2.0 * agreement / (1.0 + agreement);
    centered(smooth(&all, best.1))
        .into_iter()
        .map(|x| trust * x)
        .collect()
}

fn centered(mut result: Vec<f64>) -> Vec<f64> {
    let center = robust::mean(&result);
    for x in &mut result {
        *x -= center;
    }
    result
}

/// Means of a place and its neighbours, around the circle.
fn smooth(values: &[f64], reach: usize) -> Vec<f64> {
    let n = values.len();
    if reach == 0 || n == 0 {
        return values.to_vec();
    }
    let width = 2 * reach + 1;
    let at = |i: usize| values.get(i % n).copied().unwrap_or(0.0);
    let mut sum: f64 = (0..width).map(|k| at(n - reach % n + k)).sum();
    let mut result = Vec::with_capacity(n);
    for i in 0..n {
        result.push(sum / width as f64);
        sum += at(i + reach + 1) - at(n + i - reach);
    }
    result
}

/// Centered mean of one period; the ends take that of the nearest full one.
fn centered_mean(values: &[f64], period: usize) -> Vec<f64> {
    crate::seasons::running_mean(values, period)
}
