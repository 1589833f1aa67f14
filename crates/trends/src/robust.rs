//! Medians and scales that a few wild values do not move.

/// Turns a median absolute deviation into the standard deviation of a normal distribution.
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The median of sorted values.
pub fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    quantile_of_sorted(sorted, 0.5)
}

/// A quantile of sorted values, interpolated as `percentile_cont` does.
pub fn quantile_of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (place.floor(), place.fract());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0..=last
    let low = low as usize;
    let a = *sorted.get(low)?;
    let b = *sorted.get((low + 1).min(last))?;
    Some(a + part * (b - a))
}

/// The median; the order of the values is lost.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if is_even {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(lower + (upper - lower) * 0.5)
    } else {
        Some(upper)
    }
}

/// A quantile; the order of the values is lost.
pub fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile_of_sorted(values, share)
}

/// Standard deviation by the median absolute deviation from `center`; where most values are equal, by the mean
/// absolute deviation; 0 for a constant.
pub fn sigma_about(values: &[f64], center: f64) -> f64 {
    let mut deviations: Vec<f64> = values.iter().map(|x| (x - center).abs()).collect();
    let mad = median(&mut deviations).unwrap_or(0.0) * MAD_TO_SIGMA;
    if mad > 0.0 || deviations.is_empty() {
        return mad;
    }
    // Of a normal distribution, 0.798 sigma.
    deviations.iter().sum::<f64>() / deviations.len() as f64 * 1.253
}

/// Mean of some values; 0 of none.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}
