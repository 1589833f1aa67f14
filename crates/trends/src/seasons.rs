//! Which periods a series repeats with.
//!
//! Candidates are what calendars suggest for its step, and the peaks of its autocorrelation. Each is put to the proof:
//! the profile of the odd seasons must predict the even ones, and the other way round. A wandering series, whose
//! autocorrelation has peaks too, does not pass.

use crate::error::{Error, Watch};
use crate::robust;
use crate::series::{Step, filled};

/// A period and how well it predicts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Season {
    /// Values in a period.
    pub period: usize,
    /// Share of the variance that other seasons predict, 0 to 1.
    pub strength: f64,
}

/// Least share of the variance that a season predicts.
pub const LEAST_STRENGTH: f64 = 0.1;
/// Most seasons of one series.
pub const MOST_SEASONS: usize = 3;
const CANDIDATES: usize = 8;

/// The periods that a calendar suggests for a step: hours of days, days of weeks, and so on, with those that follow.
pub fn calendar_periods(step: Step) -> Vec<usize> {
    const MINUTE: i64 = 60_000_000;
    let micros = match step {
        Step::Months(months) => {
            return if months > 0 && 12 % months == 0 && months < 12 {
                vec![usize::try_from(12 / months).unwrap_or(12)]
            } else {
                Vec::new()
            };
        }
        Step::Fixed(micros) => micros,
    };
    let mut periods = Vec::new();
    for span in [60, 60 * 24, 60 * 24 * 7] {
        let span = span * MINUTE;
        if micros > 0 && span % micros == 0 && span / micros >= 2 {
            periods.extend(usize::try_from(span / micros));
        }
    }
    let day = 60 * 24 * MINUTE;
    if micros == day {
        periods.push(365);
    } else if micros == 7 * day {
        periods.push(52);
    }
    periods
}

/// The seasons of a series of equal steps, NaN for gaps; the strongest first found, at most three.
///
/// # Errors
/// When interrupted.
pub fn seasons(
    values: &[f64],
    step: Option<Step>,
    watch: &dyn Watch,
) -> Result<Vec<Season>, Error> {
    let mut found = Vec::new();
    let Some(mut rest) = filled(values) else {
        return Ok(found);
    };
    let n = rest.len();
    if n < 6 {
        return Ok(found);
    }
    let calendar: Vec<usize> = step.map(calendar_periods).unwrap_or_default();
    let total = variance(&rest);
    // A constant, but for rounding.
    if total.sqrt() <= 1e-9 * rest.iter().fold(0.0_f64, |most, x| most.max(x.abs())) {
        return Ok(found);
    }
    while found.len() < MOST_SEASONS {
        watch.check()?;
        let mut candidates: Vec<usize> = calendar.clone();
        candidates.extend(peaks(&rest, watch)?);
        candidates.retain(|p| *p >= 2 && n >= 2 * p + p / 2);
        // A peak beside a period of the calendar is that period.
        for p in &mut candidates {
            let near = calendar.iter().find(|c| c.abs_diff(*p) * 20 <= **c);
            *p = near.copied().unwrap_or(*p);
        }
        candidates.retain(|p| !found.iter().any(|s: &Season| s.period == *p));
        candidates.sort_unstable();
        candidates.dedup();
        let mut best: Option<(Season, f64)> = None;
        for period in candidates {
            watch.check()?;
            let is_calendar = calendar.contains(&period);
            let strength = proof(&rest, period);
            // What nobody expects needs more, the more the fewer times it was seen: a wandering series has waves.
            let least = if is_calendar {
                LEAST_STRENGTH
            } else {
                2.0 * LEAST_STRENGTH + 2.0 * period as f64 / n as f64
            };
            if strength < least || strength < noise_level(n, period) {
                continue;
            }
            // A multiple of a period predicts as well as itself: the shorter one counts, unless it is clearly worse.
            let margin = if is_calendar { 0.02 } else { 0.05 };
            if best.is_none_or(|(_, s)| strength > s + margin) {
                best = Some((Season { period, strength }, strength));
            }
        }
        let Some((season, _)) = best else { break };
        let profile = profile(&rest, season.period);
        for (i, x) in rest.iter_mut().enumerate() {
            *x -= profile.get(i % season.period).copied().unwrap_or(0.0);
        }
        found.push(season);
        if variance(&rest) < 1e-9 * total {
            break;
        }
    }
    found.sort_unstable_by_key(|s| s.period);
    Ok(found)
}

/// What chance gives: with few values a season, profiles agree by luck.
fn noise_level(n: usize, period: usize) -> f64 {
    let cycles = n as f64 / period as f64;
    2.0 / (n as f64).sqrt() + if cycles < 4.0 { 0.2 } else { 0.0 }
}

fn variance(values: &[f64]) -> f64 {
    let mean = robust::mean(values);
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64
}

/// Centered mean of one period; the ends go on straight.
pub(crate) fn running_mean(values: &[f64], period: usize) -> Vec<f64> {
    let n = values.len();
    let half = period / 2;
    let inner = n.saturating_sub(2 * half);
    if period < 2 || inner == 0 {
        return vec![robust::mean(values); n];
    }
    // An even period takes half of either end.
    let ends = if period.is_multiple_of(2) { 0.5 } else { 1.0 };
    let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
    let mut sum: f64 = values.iter().take(2 * half + 1).sum();
    let mut means = Vec::with_capacity(inner);
    for i in half..n - half {
        let outer = at(i - half) + at(i + half);
        means.push((sum - (1.0 - ends) * outer) / period as f64);
        sum += at(i + half + 1) - at(i - half);
    }
    let first = means.first().copied().unwrap_or(0.0);
    let last = means.last().copied().unwrap_or(0.0);
    let reach = period.min(inner - 1);
    let slope = |a: Option<&f64>, b: Option<&f64>| match (a, b) {
        (Some(a), Some(b)) if reach > 0 => (b - a) / reach as f64,
        _ => 0.0,
    };
    let rise = slope(means.first(), means.get(reach));
    let fall = slope(means.get(inner - 1 - reach), means.last());
    let before = (0..half).map(|i| first - rise * (half - i) as f64);
    let after = (1..=half).map(|i| last + fall * i as f64);
    before.chain(means.iter().copied()).chain(after).collect()
}

/// Deviations from the running mean, with what is far out moved in.
fn deviations(values: &[f64], period: usize) -> Vec<f64> {
    let trend = running_mean(values, period);
    let mut d: Vec<f64> = values.iter().zip(&trend).map(|(x, t)| x - t).collect();
    // The mean of sizes is cheap, and one wild value among many moves it little.
    let most = 6.0 * d.iter().map(|x| x.abs()).sum::<f64>() / d.len().max(1) as f64;
    if most > 0.0 {
        for x in &mut d {
            *x = x.clamp(-most, most);
        }
    }
    d
}

/// Means by the place in the season, adding up to zero.
fn profile(values: &[f64], period: usize) -> Vec<f64> {
    let d = deviations(values, period);
    let mut sums = vec![(0.0, 0.0); period];
    for (i, x) in d.iter().enumerate() {
        if let Some(slot) = sums.get_mut(i % period) {
            slot.0 += x;
            slot.1 += 1.0;
        }
    }
    let means: Vec<f64> = sums
        .iter()
        .map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 })
        .collect();
    let center = robust::mean(&means);
    means.iter().map(|m| m - center).collect()
}

/// Share of the variance of each half of the seasons that the profile of the other half predicts.
fn proof(values: &[f64], period: usize) -> f64 {
    let d = deviations(values, period);
    let mut sums = vec![[(0.0, 0.0); 2]; period];
    for (cycle, chunk) in d.chunks(period).enumerate() {
        for (x, both) in chunk.iter().zip(&mut sums) {
            if let Some(slot) = both.get_mut(cycle % 2) {
                slot.0 += x;
                slot.1 += 1.0;
            }
        }
    }
    let means: Vec<[f64; 2]> = sums
        .iter()
        .map(|both| both.map(|(sum, count)| if count > 0.0 { sum / count } else { f64::NAN }))
        .collect();
    let (mut wrong, mut all) = (0.0, 0.0);
    for (cycle, chunk) in d.chunks(period).enumerate() {
        for (x, both) in chunk.iter().zip(&means) {
            let other = both.get(1 - cycle % 2).copied().unwrap_or(f64::NAN);
            if !other.is_nan() {
                wrong += (x - other).powi(2);
                all += x * x;
            }
        }
    }
    if all > 0.0 { 1.0 - wrong / all } else { 0.0 }
}

/// Lags at which the autocorrelation has its highest local peaks.
fn peaks(values: &[f64], watch: &dyn Watch) -> Result<Vec<usize>, Error> {
    let n = values.len();
    // Slow movement would hide everything else.
    let slow = running_mean(values, (n / 3) | 1);
    let d: Vec<f64> = values.iter().zip(&slow).map(|(x, s)| x - s).collect();
    let sigma = 5.0 * robust::sigma_about(&d, 0.0);
    let d: Vec<f64> = d
        .iter()
        .map(|x| {
            if sigma > 0.0 {
                x.clamp(-sigma, sigma)
            } else {
                *x
            }
        })
        .collect();
    let correlation = autocorrelation(&d, n / 2, watch)?;
    let mut peaks: Vec<(usize, f64)> = correlation
        .windows(3)
        .enumerate()
        .filter_map(|(i, three)| match three {
            [a, b, c] if b > a && b >= c && *b > 0.1 => Some((i + 1, *b)),
            _ => None,
        })
        .collect();
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1));
    peaks.truncate(CANDIDATES);
    Ok(peaks.into_iter().map(|(lag, _)| lag).collect())
}

/// Autocorrelation at lags 0 to `most`, by the Fourier transform.
///
/// # Errors
/// When interrupted.
pub fn autocorrelation(values: &[f64], most: usize, watch: &dyn Watch) -> Result<Vec<f64>, Error> {
    let n = values.len();
    let mean = robust::mean(values);
    let size = (2 * n.max(1)).next_power_of_two();
    let mut re = vec![0.0; size];
    let mut im = vec![0.0; size];
    for (slot, x) in re.iter_mut().zip(values) {
        *slot = x - mean;
    }
    fourier(&mut re, &mut im, watch)?;
    for (a, b) in re.iter_mut().zip(im.iter_mut()) {
        *a = *a * *a + *b * *b;
        *b = 0.0;
    }
    fourier(&mut re, &mut im, watch)?;
    let zero = re.first().copied().unwrap_or(0.0);
    Ok(re
        .iter()
        .take(most + 1)
        .map(|x| if zero > 0.0 { x / zero } else { 0.0 })
        .collect())
}

/// Discrete Fourier transform in place; the length is a power of two.
fn fourier(re: &mut [f64], im: &mut [f64], watch: &dyn Watch) -> Result<(), Error> {
    let n = re.len();
    if n < 2 {
        return Ok(());
    }
    let shift = usize::BITS - n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> shift;
        if i < j {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let angle = -std::f64::consts::TAU / n as f64;
    let all_turns: Vec<(f64, f64)> = (0..n / 2).map(|k| (angle * k as f64).sin_cos()).collect();
    let mut turns: Vec<(f64, f64)> = Vec::with_capacity(n / 2);
    let mut width = 2;
    while width <= n {
        watch.check()?;
        turns.clear();
        turns.extend(all_turns.iter().step_by(n / width));
        for (re, im) in re.chunks_exact_mut(width).zip(im.chunks_exact_mut(width)) {
            let (re_low, re_high) = re.split_at_mut(width / 2);
            let (im_low, im_high) = im.split_at_mut(width / 2);
            let low = re_low.iter_mut().zip(im_low);
            let high = re_high.iter_mut().zip(im_high);
            for (((a, b), (c, d)), (sin, cos)) in low.zip(high).zip(&turns) {
                let (x, y) = (*c * cos - *d * sin, *c * sin + *d * cos);
                (*c, *d) = (*a - x, *b - y);
                *a += x;
                *b += y;
            }
        }
        width *= 2;
    }
    Ok(())
}
