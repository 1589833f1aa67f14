//! A series of numbers as one line of text.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A series without variation has no top or bottom: it is drawn in the middle.
const MIDDLE: usize = 3;

/// Draws `values` with the eight Unicode block characters, scaled from the least to the greatest.
///
/// `None`, NaN and infinities are gaps (a space); a constant series is drawn at mid-height.
pub fn sparkline(values: &[Option<f64>]) -> String {
    let finite = || values.iter().flatten().copied().filter(|x| x.is_finite());
    let min = finite().fold(f64::INFINITY, f64::min);
    let max = finite().fold(f64::NEG_INFINITY, f64::max);
    values
        .iter()
        .map(|value| match value {
            Some(x) if x.is_finite() => BLOCKS[level(*x, min, max)],
            _ => ' ',
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the share is within 0..=1, so the product is within 0..=8"
)]
fn level(x: f64, min: f64, max: f64) -> usize {
    if min >= max {
        return MIDDLE;
    }
    // Halved first: the distance between two finite doubles may overflow.
    let share = (x / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0);
    if share.is_nan() {
        return MIDDLE; // only where the whole range is one subnormal step, lost in halving
    }
    ((share * BLOCKS.len() as f64) as usize).min(BLOCKS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_levels_gaps_and_constants() {
        let ramp: Vec<Option<f64>> = (0..8).map(|i| Some(f64::from(i))).collect();
        assert_eq!(sparkline(&ramp), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[Some(1.0), None, Some(2.0)]), "▁ █");
        assert_eq!(sparkline(&[Some(5.0), Some(5.0)]), "▄▄");
        assert_eq!(
            sparkline(&[Some(f64::NAN), Some(f64::INFINITY), Some(1.0)]),
            "  ▄"
        );
        assert_eq!(sparkline(&[]), "");
        assert_eq!(
            sparkline(&[Some(f64::MIN), Some(0.0), Some(f64::MAX)]),
            "▁▅█"
        );
    }
}
