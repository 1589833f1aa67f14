//! Distinct counts on the `HyperLogLog` of Apache `DataSketches`.
//!
//! Up to 1536 distinct values the library keeps a 32-bit coupon of each value's hash instead of
//! registers, so the count is exact unless two coupons coincide: with 100 values in one of 40,000
//! cases, with 1536 in one of 170 (coupons have 26 address bits and a geometric value). Beyond, the
//! relative standard error is [`RELATIVE_ERROR`], 0.81 %.
//!
//! The stored form is the library's own (`HLL_4`, compact, `lg_k` 14), which the Java, C++ and
//! Python libraries and the engines built on them read: `8 + 4 n` bytes up to 7 values, `12 + 4 n`
//! up to 1536, then 8232 bytes and 4 for each of a few exceptions. It is canonical, a function of
//! the set of values: coupons are written in ascending order, and the estimate that depends on the
//! order of arrival (HIP) is not used.
//!
//! Bytes are hashed as by `update(byte[])`, integers as by `update(long)` of those libraries.

use crate::Error;
use crate::codec::{DecodeError, require};
use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};

/// Base-2 logarithm of the number of registers.
const LG_K: u8 = 14;
/// Relative standard error beyond the exact range: `1.04 / sqrt(2^14)`.
pub const RELATIVE_ERROR: f64 = 1.04 / 128.0;

/// A mergeable count of distinct values.
#[derive(Debug, Clone)]
pub struct DistinctSketch {
    union: HllUnion,
}

/// Sketches are equal when their stored forms are.
impl PartialEq for DistinctSketch {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl DistinctSketch {
    /// An empty sketch.
    ///
    /// # Errors
    /// None: the library checks a size that is constant here, and its check has to go somewhere.
    pub fn new() -> Result<Self, Error> {
        let union = HllUnion::new(LG_K).map_err(|_| DecodeError::Invalid("lg_k"))?;
        Ok(Self { union })
    }

    /// Counts a value given by its bytes.
    pub fn insert_bytes(&mut self, value: &[u8]) {
        self.union.update_value(raw_bytes::from_slice(value));
    }

    /// Counts a value given by 64 bits, such as a hash or an integer.
    pub fn insert_u64(&mut self, value: u64) {
        self.insert_bytes(&value.to_le_bytes());
    }

    /// Counts all values of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.union.update(&other.union.to_sketch(HllType::Hll8));
    }

    /// Counts all values of a stored sketch.
    ///
    /// # Errors
    /// As [`DistinctSketch::from_bytes`]; `self` is unchanged then.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.merge(&Self::from_bytes(bytes)?);
        Ok(())
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.union.is_empty()
    }

    /// The number of distinct values.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate is not negative, and the cast saturates"
    )]
    pub fn estimate(&self) -> u64 {
        self.union.composite_estimate().round() as u64
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut union = self.union.clone();
        // A merge with itself changes no register, but makes the library drop the HIP estimate.
        union.update(&self.union.to_sketch(HllType::Hll8));
        let mut bytes = union.to_sketch(HllType::Hll4).serialize();
        if let Some(coupons) = image::coupons_mut(&mut bytes) {
            coupons.sort_unstable_by_key(|coupon| u32::from_le_bytes(*coupon));
        }
        bytes
    }

    /// Reads what [`DistinctSketch::to_bytes`] wrote.
    ///
    /// Sketches of other sizes and encodings, and of other writers with HIP, are refused.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        image::check(bytes)?;
        let stored = HllSketch::deserialize(bytes).map_err(|_| DecodeError::Invalid("sketch"))?;
        let mut sketch = Self::new()?;
        sketch.union.update(&stored);
        // The library believes counts and sums that it could derive: derived, they must be equal.
        require(sketch.to_bytes() == bytes, "sketch contradicts itself")?;
        Ok(sketch)
    }
}

/// What must hold of stored bytes before the library sees them, so that it cannot panic.
///
/// Layout: `hll/src/main/java/org/apache/datasketches/hll/PreambleUtil.java`.
mod image {
    use super::LG_K;
    use crate::codec::{DecodeError, Reader, require};

    const LIST_HEADER: usize = 8;
    const SET_HEADER: usize = 12;
    const MODE: usize = 7;
    /// Modes with registers of four bits; the low two bits say how values are kept.
    const LIST: u8 = 0;
    const SET: u8 = 1;
    const REGISTERS: u8 = 2;
    const SERIAL_VERSION: u8 = 1;
    const FAMILY: u8 = 7;
    /// A list of eight coupons has become a set.
    const LIST_MAX: u8 = 7;
    /// A coupon is a register value from 1 to 63 above 26 bits of address.
    const COUPON_MIN: u32 = 1 << 26;
    /// Registers are at most 63, of which four bits are kept above the minimum.
    const MAX_MINIMUM: u8 = 48;

    /// The coupons of a sketch that keeps these and not registers.
    pub(super) fn coupons_mut(bytes: &mut [u8]) -> Option<&mut [[u8; 4]]> {
        let header = match *bytes.get(MODE)? {
            LIST => LIST_HEADER,
            SET => SET_HEADER,
            _ => return None,
        };
        Some(bytes.get_mut(header..)?.as_chunks_mut().0)
    }

    pub(super) fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        let _preamble = reader.byte()?;
        let version = reader.byte()?;
        if version != SERIAL_VERSION {
            return Err(DecodeError::Version(version));
        }
        require(reader.byte()? == FAMILY, "family")?;
        require(reader.byte()? == LG_K, "lg_k")?;
        let table_size = reader.byte()?;
        let _flags = reader.byte()?;
        let state = reader.byte()?;
        match reader.byte()? {
            LIST => {
                require(state <= LIST_MAX, "number of coupons")?;
                check_coupons(reader.remainder())
            }
            SET => {
                let count = u32::from_le_bytes(reader.array()?);
                require(table_size == set_table_size(count), "size of the table")?;
                check_coupons(reader.remainder())
            }
            REGISTERS => require(state <= MAX_MINIMUM, "least register"),
            _ => Err(DecodeError::Invalid("mode")),
        }
    }

    /// Base-2 logarithm of the slots of a set: 32 at first, doubled above three quarters.
    fn set_table_size(count: u32) -> u8 {
        let size = (5..LG_K - 3).find(|lg| u64::from(count) * 4 <= 3 << lg);
        size.unwrap_or(LG_K - 3)
    }

    fn check_coupons(bytes: &[u8]) -> Result<(), DecodeError> {
        let (coupons, _) = bytes.as_chunks::<4>();
        let coupons = coupons.iter().map(|coupon| u32::from_le_bytes(*coupon));
        let is_valid = coupons.clone().all(|coupon| coupon >= COUPON_MIN);
        require(is_valid && coupons.is_sorted_by(|a, b| a < b), "coupons")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch_of(values: impl IntoIterator<Item = u64>) -> DistinctSketch {
        let mut sketch = DistinctSketch::new().unwrap();
        values
            .into_iter()
            .for_each(|value| sketch.insert_u64(value));
        sketch
    }

    #[test]
    fn small_counts_are_exact() {
        for count in (0..=100).chain([250, 1000, 1536]) {
            let sketch = sketch_of((0..count).chain(0..count));
            assert_eq!(sketch.estimate(), count);
        }
        assert!(sketch_of([]).is_empty());
    }

    #[test]
    fn large_counts_are_within_three_standard_errors() {
        for count in [2_000, 10_000, 100_000, 1_000_000] {
            let estimate = sketch_of(0..count).estimate() as f64;
            let error = (estimate / count as f64 - 1.0).abs();
            assert!(error < 3.0 * RELATIVE_ERROR, "{count}: {error}");
        }
    }

    #[test]
    fn stored_sizes_are_as_documented() {
        let size = |count| sketch_of(0..count).to_bytes().len() as u64;
        assert_eq!(size(0), 8);
        assert_eq!(size(7), 8 + 4 * 7);
        assert_eq!(size(8), 12 + 4 * 8);
        assert_eq!(size(1536), 12 + 4 * 1536);
        for count in [1537, 100_000, 3_000_000] {
            assert!((8232..8232 + 100).contains(&size(count)), "{}", size(count));
        }
    }

    #[test]
    fn hashes_as_the_other_libraries_do() {
        let mut ours = DistinctSketch::new().unwrap();
        ours.insert_u64(1);
        let mut theirs = HllSketch::new(LG_K, HllType::Hll4).unwrap();
        theirs.update(1_u64);
        assert_eq!(ours.to_bytes(), theirs.serialize());
    }

    #[test]
    fn other_forms_are_refused() {
        for (lg_k, hll_type) in [(12, HllType::Hll4), (LG_K, HllType::Hll8)] {
            let mut sketch = HllSketch::new(lg_k, hll_type).unwrap();
            (0..5000_u64).for_each(|value| sketch.update(value));
            assert!(DistinctSketch::from_bytes(&sketch.serialize()).is_err());
        }
        let mut bytes = sketch_of(0..5000).to_bytes();
        bytes.push(0);
        assert!(DistinctSketch::from_bytes(&bytes).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_order_and_split_gives_the_same_bytes(
            count in prop_oneof![0_u64..20, 0_u64..100, 1400_u64..1700, 0_u64..20_000],
            split in 0_u64..=100,
            overlap in 0_u64..1000,
        ) {
            let at = count * split / 100;
            let mut merged = sketch_of((at..count).rev());
            merged.merge(&sketch_of(0..(at + overlap).min(count)));
            let bytes = sketch_of(0..count).to_bytes();
            prop_assert_eq!(&merged.to_bytes(), &bytes);
            let read = DistinctSketch::from_bytes(&bytes).unwrap();
            prop_assert_eq!(read.estimate(), merged.estimate());
            let mut from_bytes = sketch_of(0..at);
            from_bytes.merge_bytes(&sketch_of(at..count).to_bytes()).unwrap();
            prop_assert_eq!(&from_bytes.to_bytes(), &bytes);
        }
    }
}
