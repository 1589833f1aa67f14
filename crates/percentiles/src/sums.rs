//! Exact sums of doubles and of their squares, at a few nanoseconds a value.
//!
//! Adding each value to a long accumulator would cost thirty nanoseconds. Values of one sign and
//! exponent, however, are whole multiples of one unit, so their significands are summed as plain
//! integers first ("large superaccumulator" in Neal, arXiv:1505.05571), in a small table by sign
//! and exponent, and only what leaves that table goes to the accumulators.

use crate::codec::{DecodeError, Reader};
use crate::wide::WideSum;

const SIGN_AND_EXPONENT_SHIFT: u32 = 52;
const SIGNIFICAND: u64 = (1 << SIGN_AND_EXPONENT_SHIFT) - 1;
const SIGN: u32 = 1 << 11;
/// Exponents that the table holds for each sign: a range of 2^32 without any eviction.
const EXPONENTS: u32 = 32;
/// A significand has 53 bits: this many fit into 64, and their squares into 117.
const BATCH: u32 = 1 << 11;

/// The sums of the significands, and of their squares, of some values of one sign and exponent.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    sign_and_exponent: u32,
    count: u32,
    sum: u64,
    squares: u128,
}

/// Sums as whole numbers: of values in units of 2^-1074, of squares in units of 2^-2148.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Totals {
    /// Apart by sign: sums that only grow need no sign and have one form each.
    pub(crate) positive: WideSum,
    pub(crate) negative: WideSum,
    pub(crate) squares: WideSum,
}

impl Totals {
    fn add_batch(&mut self, batch: &Batch) {
        if batch.sum == 0 {
            return; // nothing, or zeros: they would only lengthen the accumulators
        }
        let side = if batch.sign_and_exponent & SIGN == 0 {
            &mut self.positive
        } else {
            &mut self.negative
        };
        // Subnormal numbers have the exponent 0, the unit of the exponent 1, and no hidden bit.
        let shift = (batch.sign_and_exponent & (SIGN - 1)).max(1) - 1;
        side.add(u128::from(batch.sum), shift);
        self.squares.add(batch.squares, 2 * shift);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.positive.add_sum(&other.positive);
        self.negative.add_sum(&other.negative);
        self.squares.add_sum(&other.squares);
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for sum in [&self.positive, &self.negative, &self.squares] {
            sum.write(out);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            positive: WideSum::read(reader)?,
            negative: WideSum::read(reader)?,
            squares: WideSum::read(reader)?,
        })
    }
}

/// [`Totals`] and what has not yet been added to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    totals: Totals,
    /// Empty until the first value, then one batch for each sign and low bits of the exponent.
    batches: Vec<Batch>,
}

impl Sums {
    /// Takes one finite value in.
    #[inline]
    pub(crate) fn add(&mut self, x: f64) {
        let bits = x.to_bits();
        let sign_and_exponent = (bits >> SIGN_AND_EXPONENT_SHIFT) as u32;
        let is_normal = sign_and_exponent & (SIGN - 1) != 0;
        let hidden = u64::from(is_normal) << SIGN_AND_EXPONENT_SHIFT;
        let significand = bits & SIGNIFICAND | hidden;
        let sign = sign_and_exponent / SIGN * EXPONENTS;
        let at = (sign + sign_and_exponent % EXPONENTS) as usize;
        let batch = match self.batches.get_mut(at) {
            Some(batch) if batch.sign_and_exponent == sign_and_exponent && batch.count < BATCH => {
                batch
            }
            _ => self.start_batch(at, sign_and_exponent),
        };
        batch.count += 1;
        batch.sum += significand;
        batch.squares += u128::from(significand) * u128::from(significand);
    }

    #[cold]
    fn start_batch(&mut self, at: usize, sign_and_exponent: u32) -> &mut Batch {
        if self.batches.is_empty() {
            self.batches = vec![Batch::default(); 2 * EXPONENTS as usize];
        }
        let batch = &mut self.batches[at];
        self.totals.add_batch(batch);
        *batch = Batch {
            sign_and_exponent,
            ..Batch::default()
        };
        batch
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        for batch in &other.batches {
            self.totals.add_batch(batch);
        }
    }

    /// The sums of all values so far.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.totals.clone();
        for batch in &self.batches {
            totals.add_batch(batch);
        }
        totals
    }
}

impl From<Totals> for Sums {
    fn from(totals: Totals) -> Self {
        Self {
            totals,
            batches: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One value at a time, straight into the accumulators.
    fn reference(values: &[f64]) -> Totals {
        let mut totals = Totals::default();
        for x in values {
            let mut sums = Sums::default();
            sums.add(*x);
            totals.merge(&sums.totals());
        }
        totals
    }

    #[test]
    fn full_batches_do_not_overflow() {
        let values = vec![f64::from_bits(0x7FEF_FFFF_FFFF_FFFF); 3 * BATCH as usize];
        let mut sums = Sums::default();
        for &x in &values {
            sums.add(x);
        }
        assert_eq!(sums.totals(), reference(&values));
        assert_eq!(
            sums.totals().positive.to_words().len(),
            (2046 + 53 + 13_usize).div_ceil(64)
        );
    }

    proptest! {
        #[test]
        fn batches_sum_to_what_single_values_do(
            values in prop::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 0..200),
            split in 0_usize..200,
        ) {
            let (left, right) = values.split_at(split.min(values.len()));
            let (mut sums, mut others) = (Sums::default(), Sums::default());
            for &x in left {
                sums.add(x);
            }
            for &x in right {
                others.add(x);
            }
            sums.merge(&others);
            prop_assert_eq!(sums.totals(), reference(&values));
        }
    }
}
