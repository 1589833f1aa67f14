//! Sums of doubles without any rounding, and therefore without any dependence on order.
//!
//! A double is a whole multiple of 2^-1074 and a square of one is a whole multiple of 2^-2148, so
//! sums of them are whole numbers, if long ones: a fixed-point accumulator as long as the range of
//! the values holds them (Kulisch, "Computer Arithmetic and Validity", 2008; Neal, "Fast exact
//! summation using small and large superaccumulators", arXiv:1505.05571). Only the words between
//! the least and the greatest bit ever set are kept, two to four for everyday data.

use crate::codec::{DecodeError, Reader, low_word, require, write_varint};
use std::cmp::Ordering;

/// Squares of doubles have bits 0 to 4195, and 2^64 of them carry 64 further.
const MAX_BYTES: u64 = (4196 + 64) / 8 + 1;

/// A non-negative whole number of any length, made for adding: `words` from word `first` upward.
#[derive(Debug, Clone, Default)]
pub(crate) struct WideSum {
    first: usize,
    words: Vec<u64>,
}

/// As numbers: how many zero words are kept around one is no part of it.
impl PartialEq for WideSum {
    fn eq(&self, other: &Self) -> bool {
        self.to_words() == other.to_words()
    }
}

impl WideSum {
    /// Adds `value * 2^shift`, where `value` is below 2^106.
    #[inline]
    pub(crate) fn add(&mut self, value: u128, shift: u32) {
        let (word, offset) = ((shift / 64) as usize, shift % 64);
        let low = value << offset;
        // Two shifts, because a shift by the full width of 128 is not defined.
        let high = (value >> 64) >> (64 - offset);
        let parts = [low_word(low), low_word(low >> 64), low_word(high)];
        self.cover(word, word + 3);
        add_into(&mut self.words[word - self.first..], &parts);
    }

    /// Adds another sum.
    pub(crate) fn add_sum(&mut self, other: &Self) {
        if other.words.is_empty() {
            return;
        }
        self.cover(other.first, other.first + other.words.len());
        add_into(&mut self.words[other.first - self.first..], &other.words);
    }

    /// Makes the words `from..to` present, and one above them for carries.
    #[inline]
    fn cover(&mut self, from: usize, to: usize) {
        if from < self.first || self.first + self.words.len() <= to || self.carry_is_near() {
            self.grow(from, to);
        }
    }

    /// Whether the top word is in use, so that another addition might carry out of it.
    #[inline]
    fn carry_is_near(&self) -> bool {
        self.words.last().is_none_or(|&top| top != 0)
    }

    #[cold]
    fn grow(&mut self, from: usize, to: usize) {
        if self.words.is_empty() {
            self.first = from;
        }
        if from < self.first {
            let missing = self.first - from;
            self.words.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = from;
        }
        let length = (to + 1 - self.first).max(self.words.len());
        self.words.resize(length, 0);
        if self.carry_is_near() {
            self.words.push(0);
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// All words from word 0 upward, without leading zeros.
    pub(crate) fn to_words(&self) -> Vec<u64> {
        let mut words = vec![0; self.first];
        words.extend_from_slice(&self.words);
        trim(words)
    }

    /// Appends the number as offset, length and the bytes from its first to its last non-zero one.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let bytes: Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let skipped = bytes.iter().take_while(|&&byte| byte == 0).count();
        if skipped == bytes.len() {
            write_varint(out, 0);
            return;
        }
        let unused = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        let used = &bytes[skipped..bytes.len() - unused];
        write_varint(out, used.len() as u64);
        write_varint(out, (self.first * 8 + skipped) as u64);
        out.extend_from_slice(used);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.varint()?;
        if length == 0 {
            return Ok(Self::default());
        }
        let skipped = reader.varint()?;
        let fits = length <= MAX_BYTES && skipped <= MAX_BYTES && length + skipped <= MAX_BYTES;
        require(fits, "sum too long")?;
        let (length, skipped) = (to_usize(length)?, to_usize(skipped)?);
        let used = reader.take(length)?;
        let is_trimmed = used.first() != Some(&0) && used.last() != Some(&0);
        require(is_trimmed, "sum not in its shortest form")?;
        let mut bytes = vec![0; skipped % 8];
        bytes.extend_from_slice(used);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let (words, _) = bytes.as_chunks::<8>();
        Ok(Self {
            first: skipped / 8,
            words: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
        })
    }
}

fn to_usize(length: u64) -> Result<usize, DecodeError> {
    usize::try_from(length).map_err(|_| DecodeError::Invalid("length"))
}

/// Adds `parts` into the low words of `words`, which are longer and take the carry.
#[inline]
fn add_into(words: &mut [u64], parts: &[u64]) {
    let (low, high) = words.split_at_mut(parts.len());
    let mut carry = false;
    for (word, &part) in low.iter_mut().zip(parts) {
        let (sum, over) = word.overflowing_add(part);
        let (sum, carried) = sum.overflowing_add(u64::from(carry));
        *word = sum;
        carry = over | carried;
    }
    let mut rest = high.iter_mut();
    while carry && let Some(word) = rest.next() {
        (*word, carry) = word.overflowing_add(1);
    }
}

fn trim(mut words: Vec<u64>) -> Vec<u64> {
    while words.last() == Some(&0) {
        words.pop();
    }
    words
}

/// Compares numbers without leading zeros.
fn compare(a: &[u64], b: &[u64]) -> Ordering {
    let by_words = || a.iter().rev().cmp(b.iter().rev());
    a.len().cmp(&b.len()).then_with(by_words)
}

/// `|a - b|`, and whether `a < b`.
pub(crate) fn difference(a: &[u64], b: &[u64]) -> (Vec<u64>, bool) {
    let negative = compare(a, b) == Ordering::Less;
    let (more, less) = if negative { (b, a) } else { (a, b) };
    let mut result = more.to_vec();
    let mut borrow = false;
    for (i, word) in result.iter_mut().enumerate() {
        let subtrahend = less.get(i).copied().unwrap_or(0);
        let (left, under) = word.overflowing_sub(subtrahend);
        let (left, borrowed) = left.overflowing_sub(u64::from(borrow));
        *word = left;
        borrow = under | borrowed;
    }
    (trim(result), negative)
}

/// `a * b` by the schoolbook; `a` and `b` have a few dozen words at most.
pub(crate) fn product(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut result = vec![0_u64; a.len() + b.len()];
    for (i, &x) in a.iter().enumerate() {
        let mut carry = 0_u128;
        for (word, &y) in result[i..].iter_mut().zip(b) {
            let sum = u128::from(x) * u128::from(y) + u128::from(*word) + carry;
            *word = low_word(sum);
            carry = sum >> 64;
        }
        result[i + b.len()] = low_word(carry);
    }
    trim(result)
}

/// A number `mantissa * 2^exponent`, free of the exponent range of a double.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scaled {
    pub(crate) mantissa: f64,
    pub(crate) exponent: i32,
}

impl Scaled {
    /// The whole number `words` times `2^exponent`, rounded once, to nearest.
    pub(crate) fn round(words: &[u64], exponent: i32) -> Self {
        let Some((&top, rest)) = words.split_last() else {
            return Self {
                mantissa: 0.0,
                exponent: 0,
            };
        };
        let (&next, below) = rest.split_last().unwrap_or((&0, &[]));
        let zeros = top.leading_zeros();
        let pair = (u128::from(top) << 64 | u128::from(next)) << zeros;
        let is_inexact = low_word(pair) != 0 || below.iter().any(|&word| word != 0);
        // The lowest of 64 bits lies far below the last bit of a double: set, it stands for all
        // that was cut off and decides ties as the whole number would.
        let leading = low_word(pair >> 64) | u64::from(is_inexact);
        let word_shift = i32::try_from(rest.len() * 64).unwrap_or(i32::MAX / 2);
        Self {
            mantissa: leading as f64,
            exponent: exponent + word_shift - zeros.cast_signed(),
        }
    }

    pub(crate) fn divide(self, divisor: f64) -> Self {
        Self {
            mantissa: self.mantissa / divisor,
            ..self
        }
    }

    pub(crate) fn sqrt(self) -> Self {
        let odd = self.exponent.rem_euclid(2);
        Self {
            mantissa: (self.mantissa * f64::from(1 + odd)).sqrt(),
            exponent: (self.exponent - odd) / 2,
        }
    }

    /// The double, infinite or zero beyond a double's range.
    pub(crate) fn to_f64(self) -> f64 {
        let (mut value, mut exponent) = (self.mantissa, self.exponent);
        while exponent != 0 && value != 0.0 && value.is_finite() {
            let step = exponent.clamp(-1000, 1000);
            value *= 2_f64.powi(step);
            exponent -= step;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum_of(parts: &[(u128, u32)]) -> WideSum {
        let mut sum = WideSum::default();
        for &(value, shift) in parts {
            sum.add(value, shift);
        }
        sum
    }

    fn bytes_of(sum: &WideSum) -> Vec<u8> {
        let mut bytes = Vec::new();
        sum.write(&mut bytes);
        bytes
    }

    #[test]
    fn carries_run_through_full_words() {
        let mut sum = sum_of(&[(u128::from(u64::MAX), 0), (u128::from(u64::MAX), 64)]);
        sum.add(1, 0);
        assert_eq!(sum.to_words(), [0, 0, 1]);
    }

    #[test]
    fn rounds_to_nearest_even_with_the_cut_off_bits() {
        let round = |words: &[u64]| Scaled::round(words, 0).to_f64();
        assert_eq!(round(&[]), 0.0);
        assert_eq!(round(&[3]), 3.0);
        let tie = (1 << 53) + 1;
        assert_eq!(round(&[tie]), 2_f64.powi(53));
        assert_eq!(round(&[0, tie]), 2_f64.powi(117));
        assert_eq!(round(&[1, tie]), 2_f64.powi(64) * (2_f64.powi(53) + 2.0));
    }

    proptest! {
        #[test]
        fn any_order_and_split_gives_the_same_bytes(
            parts in prop::collection::vec((0_u128..1 << 106, 0_u32..4090), 0..40),
            split in 0_usize..40,
        ) {
            let split = split.min(parts.len());
            let mut merged = sum_of(&parts[split..]);
            merged.add_sum(&sum_of(&parts[..split]));
            let bytes = bytes_of(&sum_of(&parts));
            prop_assert_eq!(&bytes_of(&merged), &bytes);
            let mut reader = Reader::new(&bytes);
            let read = WideSum::read(&mut reader).unwrap();
            prop_assert_eq!(reader.finish(), Ok(()));
            prop_assert_eq!(read.to_words(), merged.to_words());
        }

        #[test]
        fn arithmetic_agrees_with_128_bits(a in any::<u64>(), b in any::<u64>(), c in any::<u64>()) {
            let words = |x: u128| trim(vec![low_word(x), low_word(x >> 64)]);
            let wide = u128::from(a) * u128::from(b);
            prop_assert_eq!(product(&trim(vec![a]), &trim(vec![b])), words(wide));
            let (left, negative) = difference(&words(wide), &trim(vec![c]));
            prop_assert_eq!(left, words(wide.abs_diff(u128::from(c))));
            prop_assert_eq!(negative, wide < u128::from(c));
            let rounded = Scaled::round(&words(wide), -200).to_f64();
            prop_assert_eq!(rounded, wide as f64 * 2_f64.powi(-200));
        }
    }
}
