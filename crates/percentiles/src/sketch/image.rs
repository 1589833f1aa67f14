//! The stored form of a sketch, version 1.
//!
//! ```text
//! u8      version (1)
//! varint  buckets per octave
//! varint  count of -inf, of +inf, of NaN
//! varint  n, the count of finite values; nothing follows when it is 0
//!
//! n <= 250: n times f64, ascending
//!
//! n > 250:
//! f64     least value, greatest value
//! sums    of the positive values, of the negative ones, of the squares: length, offset, bytes
//! u8      level, the number of collapses
//! varint  k, the number of buckets
//! varint  number of the first bucket, plus 2^24
//! bits    k times: [gap to the previous bucket, gamma code; not for the first]
//!                  length of the count in bits minus that of the previous count, zigzag, gamma
//! code                  bits of the count below the leading one
//! ```
//!
//! Integers are little-endian, varints LEB128. There is one form for each state, and reading
//! accepts no other, so that stored sketches are equal when their bytes are.

use super::mapping::{MAX_LEVEL, Mapping};
use super::table::Table;
use super::{EXACT_MAX, Key, MAX_BUCKETS, PercentileSketch};
use crate::codec::{BitReader, BitWriter, DecodeError, Reader, require, write_varint};
use crate::stats::{MAX_COUNT, Moments, Specials, is_plain, read_count};

const VERSION: u8 = 1;
/// Makes the number of a first bucket positive; bucket numbers are within 2^23.
const KEY_OFFSET: i64 = 1 << 24;

impl PercentileSketch {
    /// The stored form: versioned, little-endian, and the same for equal sketches.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        write_varint(&mut out, u64::from(self.mapping.per_octave()));
        self.specials.write(&mut out);
        match &self.buckets {
            None => write_values(&mut out, &self.values),
            Some(buckets) => {
                write_varint(&mut out, buckets.moments.count);
                buckets.moments.write(&mut out);
                write_table(&mut out, &buckets.table);
            }
        }
        out
    }
}

fn write_values(out: &mut Vec<u8>, values: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    write_varint(out, sorted.len() as u64);
    out.extend(sorted.iter().flat_map(|x| x.to_le_bytes()));
}

fn write_table(out: &mut Vec<u8>, table: &Table) {
    let buckets = table.sorted();
    out.push(table.level().to_le_bytes()[0]);
    write_varint(out, buckets.len() as u64);
    let mut previous = buckets.first().map_or(0, |&(key, _)| key);
    write_varint(out, (i64::from(previous) + KEY_OFFSET).cast_unsigned());
    let mut bits = BitWriter::new(out);
    let mut previous_length = 0;
    for (i, &(key, count)) in buckets.iter().enumerate() {
        if i > 0 {
            bits.gamma(u64::from(key.abs_diff(previous)));
        }
        let length = count.max(1).ilog2();
        bits.gamma(1 + zigzag(i64::from(length) - i64::from(previous_length)));
        bits.bits(count & !(1 << length), length);
        (previous, previous_length) = (key, length);
    }
    bits.finish();
}

fn zigzag(x: i64) -> u64 {
    ((x << 1) ^ (x >> 63)).cast_unsigned()
}

fn unzigzag(x: u64) -> i64 {
    (x >> 1).cast_signed() ^ -(x & 1).cast_signed()
}

/// A stored sketch, checked; small ones still point into the bytes that they were read from.
pub(super) struct Image<'a> {
    pub(super) mapping: Mapping,
    pub(super) specials: Specials,
    pub(super) body: Body<'a>,
}

pub(super) enum Body<'a> {
    Values(&'a [[u8; 8]]),
    Buckets(Buckets),
}

pub(super) struct Buckets {
    pub(super) level: u32,
    pub(super) counts: Vec<(Key, u64)>,
    pub(super) moments: Moments,
}

impl<'a> Image<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let mapping = Mapping::from_per_octave(reader.varint()?)
            .ok_or(DecodeError::Invalid("buckets per octave"))?;
        let specials = Specials::read(&mut reader)?;
        let count = read_count(&mut reader)?;
        let body = if count <= EXACT_MAX as u64 {
            Body::Values(read_values(count, reader)?)
        } else {
            Body::Buckets(Buckets::read(mapping, count, reader)?)
        };
        let image = Self {
            mapping,
            specials,
            body,
        };
        require(image.count() <= MAX_COUNT, "count")?;
        Ok(image)
    }

    pub(super) fn count(&self) -> u64 {
        let finite = match &self.body {
            Body::Values(values) => values.len() as u64,
            Body::Buckets(buckets) => buckets.moments.count,
        };
        self.specials.total() + finite
    }
}

fn read_values(count: u64, mut reader: Reader<'_>) -> Result<&[[u8; 8]], DecodeError> {
    let (values, rest) = reader.remainder().as_chunks::<8>();
    if (values.len() as u64) < count {
        return Err(DecodeError::Truncated);
    }
    if values.len() as u64 > count || !rest.is_empty() {
        return Err(DecodeError::TrailingBytes);
    }
    let numbers = || values.iter().map(|bytes| f64::from_le_bytes(*bytes));
    require(numbers().all(is_plain) && numbers().is_sorted(), "values")?;
    Ok(values)
}

impl Buckets {
    fn read(mapping: Mapping, count: u64, mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let moments = Moments::read(count, &mut reader)?;
        let level = u32::from(reader.byte()?);
        require(level <= MAX_LEVEL, "level")?;
        let used = reader.varint()?;
        require(
            (1..=MAX_BUCKETS as u64).contains(&used),
            "number of buckets",
        )?;
        let first = reader.varint()?;
        require(first <= 2 * KEY_OFFSET.cast_unsigned(), "first bucket")?;
        let first = first.cast_signed() - KEY_OFFSET;
        let counts = read_counts(used, first, BitReader::new(reader.remainder()))?;
        let image = Self {
            level,
            counts,
            moments,
        };
        image.check(mapping)?;
        Ok(image)
    }

    /// The buckets must hold as many values as are claimed, from the least to the greatest, and
    /// must fit the budget, or the table that they are put into would differ from this one.
    fn check(&self, mapping: Mapping) -> Result<(), DecodeError> {
        let total: u64 = self.counts.iter().map(|&(_, count)| count).sum();
        require(total == self.moments.count, "counts of the buckets")?;
        let ends = (self.counts.first(), self.counts.last());
        let (Some(&(first, _)), Some(&(last, _))) = ends else {
            return Err(DecodeError::Invalid("number of buckets"));
        };
        let is_range = first == mapping.key(self.moments.min, self.level)
            && last == mapping.key(self.moments.max, self.level);
        require(is_range, "buckets of the least and greatest value")?;
        let counts = self.counts.iter().map(|&(_, count)| count);
        require(super::table::fits_budget(counts), "budget of the buckets")
    }
}

fn read_counts(
    used: u64,
    first: i64,
    mut bits: BitReader<'_>,
) -> Result<Vec<(Key, u64)>, DecodeError> {
    let mut counts = Vec::new();
    let (mut key, mut length) = (first, 0);
    for i in 0..used {
        if i > 0 {
            let gap = bits.gamma()?;
            require(gap <= 2 * KEY_OFFSET.cast_unsigned(), "gap between buckets")?;
            key += gap.cast_signed();
        }
        length = unzigzag(bits.gamma()? - 1).saturating_add(length);
        let tail = u32::try_from(length).unwrap_or(u32::MAX);
        require(tail <= MAX_COUNT.ilog2(), "count of a bucket")?;
        let count = 1 << tail | bits.bits(tail)?;
        let key = Key::try_from(key).map_err(|_| DecodeError::Invalid("number of a bucket"))?;
        counts.push((key, count));
    }
    bits.finish()?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::super::{BUDGET_BITS, Buckets as Large, MAX_BYTES};
    use super::*;

    /// As many buckets as may be, as far apart as can be, with the budget spent on counts that
    /// alternate between the least and the greatest, and sums over the whole range of doubles.
    fn worst_case(alpha: f64) -> usize {
        let mut sketch = PercentileSketch::new(alpha).unwrap();
        let mut large = Large::default();
        let buckets = u32::try_from(MAX_BUCKETS).unwrap();
        let bits_left = BUDGET_BITS / buckets - 3;
        for i in 0..buckets / 2 {
            let x = 2_f64.powf(f64::from(i) * 4196.0 / f64::from(buckets) - 1074.0);
            let count = 1 << (2 * bits_left * (i % 2));
            large.table.add(sketch.mapping.key(x, 0), 0, count);
            large.table.add(sketch.mapping.key(-x, 0), 0, count);
        }
        assert_eq!(large.table.level(), 0);
        for x in [f64::MAX, -f64::MAX, 5e-324, -5e-324] {
            (0..1 << 20).for_each(|_| large.moments.add(x));
        }
        sketch.buckets = Some(Box::new(large));
        sketch.to_bytes().len()
    }

    #[test]
    fn no_sketch_is_longer_than_documented() {
        let (default, finest) = (worst_case(0.01), worst_case(1e-4));
        assert!((4096..=6144).contains(&default), "{default}");
        assert!((6144..=MAX_BYTES).contains(&finest), "{finest}");
    }

    /// Byte by byte, what contradicts the rest is refused for the reason that it has.
    #[test]
    fn contradictions_are_refused() {
        let mut sketch = PercentileSketch::default();
        (1..=300).for_each(|i| sketch.insert(f64::from(i)));
        let bytes = sketch.to_bytes();
        let count = 5; // version, buckets per octave, three counts of specials
        let min = count + 2;
        let reason = |at: usize, change: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + change.len()].copy_from_slice(change);
            PercentileSketch::from_bytes(&bytes)
                .err()
                .unwrap()
                .to_string()
        };
        assert!(reason(0, &[2]).contains("version 2"));
        assert!(reason(1, &[0]).contains("buckets per octave"));
        assert!(reason(count, &[0xAD]).contains("counts of the buckets"));
        assert!(reason(min, &0.5_f64.to_le_bytes()).contains("buckets of the least"));
        assert!(reason(min, &301_f64.to_le_bytes()).contains("least and greatest"));
        assert!(reason(min, &(-1_f64).to_le_bytes()).contains("sums contradict"));
        assert!(reason(min + 8, &400_f64.to_le_bytes()).contains("buckets of the least"));
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let mut sketch = PercentileSketch::default();
        for x in [2.0, 1.0, f64::NAN] {
            sketch.insert(x);
        }
        let small = [
            &[1, 35, 0, 0, 1, 2][..],
            &1_f64.to_le_bytes(),
            &2_f64.to_le_bytes(),
        ];
        assert_eq!(sketch.to_bytes(), small.concat());
        for i in 0..1000 {
            sketch.insert(f64::from(i * i) - 1000.0);
        }
        let digits: Vec<String> = sketch
            .to_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let digits = digits.concat();
        assert_eq!(
            digits,
            include_str!("../../tests/stored/sketch_v1.hex").trim()
        );
    }
}
