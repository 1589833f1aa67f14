//! Values without time.

use super::{FEWEST, Options, score_of};
use crate::distributions::{student_above, student_quantile_above};
use crate::error::Error;
use crate::robust;

/// A value among others, without time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlier {
    /// 0 to 1.
    pub score: f64,
    /// Usual values are not below.
    pub lower: f64,
    /// Usual values are not above.
    pub upper: f64,
    /// Whether it is above the middle.
    pub is_above: bool,
    /// Whether the score reaches the limit.
    pub is_outlier: bool,
}

/// Judges values by their distance from the median, each side by its own spread, so that a skewed distribution has a
/// long side. None for gaps (NaN) and with fewer than 8 values.
///
/// # Errors
/// A sensitivity that is none.
pub fn outliers(values: &[f64], sensitivity: f64) -> Result<Vec<Option<Outlier>>, Error> {
    let limit = Options {
        sensitivity,
        ..Options::default()
    }
    .limit()?;
    let mut there: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    if there.len() < FEWEST {
        return Ok(vec![None; values.len()]);
    }
    let center = robust::median(&mut there).unwrap_or(0.0);
    let sigma = robust::sigma_about(&there, center);
    let side = |keep: &dyn Fn(f64) -> bool| -> f64 {
        let mut part: Vec<f64> = there
            .iter()
            .copied()
            .filter(|x| keep(*x))
            .map(|x| (x - center).abs())
            .collect();
        let half = robust::median(&mut part).unwrap_or(0.0) * robust::MAD_TO_SIGMA;
        if half > 0.0 { half } else { sigma }
    };
    let (below, above) = (side(&|x| x < center), side(&|x| x > center));
    let freedom = (there.len() as f64 / 3.0).clamp(2.0, 30.0);
    let far = student_quantile_above(0.5 * 10_f64.powf(-6.0 * limit), freedom);
    Ok(values
        .iter()
        .map(|x| {
            if x.is_nan() {
                return None;
            }
            let scale = if *x < center { below } else { above };
            let score = if scale > 0.0 {
                score_of(2.0 * student_above(((x - center) / scale).abs(), freedom))
            } else {
                0.0
            };
            Some(Outlier {
                score,
                lower: center - far * below,
                upper: center + far * above,
                is_above: *x > center,
                is_outlier: score >= limit,
            })
        })
        .collect())
}
