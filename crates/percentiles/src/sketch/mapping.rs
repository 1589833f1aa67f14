//! Which bucket a value falls into, and between which values a bucket lies.
//!
//! Buckets are to have a constant ratio between their bounds, so their number is a logarithm. It is
//! approximated as in `DDSketch`'s cubic mapping (Masson, Rim, Lee, "`DDSketch`", VLDB 2019; the
//! coefficients are those of `CubicallyInterpolatedMapping` in `DataDog/sketches-java`): for
//! `x = 2^e * (1 + s)` with `0 <= s < 1` the position is `m * (e + P(s))`, where
//! `P(s) = 6/35 s³ - 3/5 s² + 10/7 s` and `m`, a whole number, is the count of buckets per octave.
//!
//! **Guarantee.** `P(0) = 0` and `P(1) = 1`, so the position is continuous and increasing. Its
//! derivative by `ln x` is `m * (1 + s) * P'(s) = m * (18 s³ - 24 s² + 8 s + 50) / 35`, with its
//! minimum `m * 10/7` at `s = 0` and `s = 2/3`. A bucket that is `w` positions wide therefore has
//! bounds `l < u` with `ln(u / l) <= 0.7 * w / m`, whatever octaves it spans. The estimate
//! `2 l u / (l + u)` differs from any value in the bucket by at most the share
//! `(u - l) / (u + l) = tanh(ln(u / l) / 2) <= tanh(0.35 * w / m)` of that value. Collapsing `L`
//! times makes `w = 2^L`.
//!
//! `m` comes from the wanted error `α` by `m = ceil(0.35 / (α + α³/3))`: as `atanh α >= α + α³/3`,
//! `tanh(0.35 / m) <= α`. Only additions, multiplications and divisions take part, so every machine
//! puts a value into the same bucket. They round, so a value within 10^-12 of a bound may count on
//! its other side; [`Mapping::error`] includes that.

use super::Key;

const SIGN_BIT: u64 = 1 << 63;
const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
const ONE: u64 = 1023 << MANTISSA_BITS;
/// Makes every position positive: the least double has the position `-1074 * 3500`, above `-2^22`.
/// As a power of two it does not change which positions are merged by a collapse.
const ORIGIN: i32 = 1 << 22;
/// Collapsed this often, all positive values share one bucket (positions are below `2^23`).
pub(super) const MAX_LEVEL: u32 = 23;
/// Lifts any subnormal into the range of normal doubles.
const SUBNORMAL_SHIFT: i32 = 54;
/// More than the rounding of positions can add to the relative error.
const ROUNDING: f64 = 1e-11;

const A: f64 = 6.0 / 35.0;
const B: f64 = -3.0 / 5.0;
const C: f64 = 10.0 / 7.0;

/// A division of the doubles into buckets, given by the number of buckets per octave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapping {
    per_octave: u16,
}

impl Mapping {
    pub(super) const MAX_PER_OCTAVE: u16 = 3500;

    /// The coarsest division with a relative error of at most `alpha`, a number in `1e-4..=0.5`.
    pub(super) fn for_error(alpha: f64) -> Self {
        let wanted = (0.35 / (alpha + alpha * alpha * alpha / 3.0)).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 1..=3500 for the accepted errors"
        )]
        let per_octave = wanted as u16;
        Self { per_octave }
    }

    pub(super) fn from_per_octave(per_octave: u64) -> Option<Self> {
        let per_octave = u16::try_from(per_octave).ok()?;
        (1..=Self::MAX_PER_OCTAVE)
            .contains(&per_octave)
            .then_some(Self { per_octave })
    }

    pub(super) fn per_octave(self) -> u16 {
        self.per_octave
    }

    /// The guaranteed relative error of estimates after `level` collapses.
    pub(super) fn error(self, level: u32) -> f64 {
        let width = f64::from(1_u32 << level) / f64::from(self.per_octave);
        (0.35 * width).tanh().min(1.0 - ROUNDING) + ROUNDING
    }

    /// The bucket of a finite value after `level` collapses.
    ///
    /// Zero has bucket 0, positive values have buckets from 1 upward, and `-x` has the negative of
    /// the bucket of `x`: buckets are in the order of their values.
    #[inline]
    pub(super) fn key(self, x: f64, level: u32) -> Key {
        let magnitude = x.to_bits() & !SIGN_BIT;
        let position = if magnitude > MANTISSA {
            self.position(magnitude, 0)
        } else if magnitude == 0 {
            return 0;
        } else {
            self.subnormal_position(magnitude)
        };
        let key = ((position + ORIGIN) >> level) + 1;
        if x < 0.0 { -key } else { key }
    }

    /// The position, rounded down, of the normal double with these bits, times `2^-octaves_down`.
    #[inline]
    fn position(self, bits: u64, octaves_down: i32) -> i32 {
        let exponent = (bits >> MANTISSA_BITS) as i32 - 1023 - octaves_down;
        let s = f64::from_bits(bits & MANTISSA | ONE) - 1.0;
        let within_octave = round_down(interpolate(s) * f64::from(self.per_octave));
        exponent * i32::from(self.per_octave) + within_octave
    }

    #[cold]
    fn subnormal_position(self, bits: u64) -> i32 {
        let lifted = f64::from_bits(bits) * 2_f64.powi(SUBNORMAL_SHIFT);
        self.position(lifted.to_bits(), SUBNORMAL_SHIFT)
    }

    /// The least and greatest value of a bucket; beyond the range of doubles, their ends.
    pub(super) fn bounds(self, key: Key, level: u32) -> (f64, f64) {
        let magnitude = i64::from(key.unsigned_abs());
        let low = self.value((magnitude - 1) << level).max(f64::from_bits(1));
        let high = self.value(magnitude << level).min(f64::MAX);
        match key {
            0 => (0.0, 0.0),
            1.. => (low, high),
            _ => (-high, -low),
        }
    }

    /// The estimate for all values of a bucket.
    pub(super) fn estimate(self, key: Key, level: u32) -> f64 {
        let (low, high) = self.bounds(key, level);
        // 2 l u / (l + u), arranged so that nothing overflows; symmetric in the sign.
        let (near, far) = if key < 0 { (high, low) } else { (low, high) };
        if key == 0 {
            0.0
        } else {
            near * (2.0 / (1.0 + near / far))
        }
    }

    /// The value at a position counted from [`ORIGIN`] downward.
    fn value(self, position: i64) -> f64 {
        let per_octave = i64::from(self.per_octave);
        let position = position - i64::from(ORIGIN);
        let octave = position.div_euclid(per_octave).clamp(-1100, 1100);
        let share = position.rem_euclid(per_octave) as f64 / per_octave as f64;
        let significand = 1.0 + invert(share);
        // In two steps, because 2^-1074 and 2^1024 have no reciprocal and no double.
        let half = octave / 2;
        significand * power_of_two(half) * power_of_two(octave - half)
    }
}

fn power_of_two(exponent: i64) -> f64 {
    i32::try_from(exponent).map_or(f64::NAN, |exponent| 2_f64.powi(exponent))
}

/// `P(s)`, close to `log2(1 + s)`.
#[inline]
fn interpolate(s: f64) -> f64 {
    ((A * s + B) * s + C) * s
}

/// The whole part of `x` in `0..=3500`; one less for some odd whole numbers, which as bounds
/// between two buckets may lie in either.
///
/// Added to 1.5 * 2^52, a number loses its fraction and shows its whole part in the low bits,
/// without the comparisons that a checked conversion needs.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
#[inline]
fn round_down(x: f64) -> i32 {
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    (x - 0.5 + SHIFTER).to_bits() as i32
}

/// `s` with `P(s) = share`, by Newton's method: `P'` lies between 0.74 and 1.43 on `0..=1`, and
/// six steps from `share` leave only rounding.
fn invert(share: f64) -> f64 {
    let mut s = share;
    for _ in 0..6 {
        let slope = (3.0 * A * s + 2.0 * B) * s + C;
        s -= (interpolate(s) - share) / slope;
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALPHAS: [f64; 7] = [1e-4, 1e-3, 0.005, 0.01, 0.05, 0.2, 0.5];

    #[test]
    fn the_division_is_as_fine_as_asked_for_and_no_finer_than_needed() {
        for alpha in ALPHAS {
            let mapping = Mapping::for_error(alpha);
            assert!(mapping.error(0) <= alpha * (1.0 + 1e-6), "{alpha}");
            if let Some(coarser) = Mapping::from_per_octave(u64::from(mapping.per_octave) - 1) {
                assert!(coarser.error(0) > alpha, "{alpha}");
            }
        }
        assert_eq!(Mapping::for_error(0.01).per_octave, 35);
        assert_eq!(Mapping::for_error(1e-4).per_octave, Mapping::MAX_PER_OCTAVE);
    }

    #[test]
    fn inversion_is_exact_up_to_rounding() {
        for i in 0..=10_000 {
            let share = f64::from(i) / 10_000.0;
            assert!((interpolate(invert(share)) - share).abs() < 4e-16);
        }
    }

    fn any_finite() -> impl Strategy<Value = f64> {
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("finite", |x| x.is_finite())
    }

    proptest! {
        #[test]
        fn estimates_keep_the_guarantee(x in any_finite(), alpha in 0_usize..7, level in 0_u32..=MAX_LEVEL) {
            let mapping = Mapping::for_error(ALPHAS[alpha]);
            let key = mapping.key(x, level);
            let estimate = mapping.estimate(key, level);
            let allowed = mapping.error(level) * x.abs() + f64::from_bits(1);
            prop_assert!((estimate - x).abs() <= allowed, "{x} {estimate} {key}");
            prop_assert_eq!(mapping.key(-x, level), -key);
        }

        #[test]
        fn keys_are_ordered_as_values(x in any_finite(), factor in 1.000_000_1_f64..2.0) {
            let mapping = Mapping::for_error(0.01);
            let (low, high) = if x < x * factor { (x, x * factor) } else { (x * factor, x) };
            prop_assume!(low.is_finite() && high.is_finite());
            prop_assert!(mapping.key(low, 0) <= mapping.key(high, 0));
        }

        #[test]
        fn a_collapse_halves_the_key_upward(x in any_finite(), alpha in 0_usize..7, level in 0_u32..MAX_LEVEL) {
            let mapping = Mapping::for_error(ALPHAS[alpha]);
            let fine = mapping.key(x, level);
            let halved = fine.signum() * (fine.abs() + 1) / 2;
            prop_assert_eq!(mapping.key(x, level + 1), halved);
            prop_assert_eq!(super::super::table::lift(fine, 1), halved);
        }
    }
}
