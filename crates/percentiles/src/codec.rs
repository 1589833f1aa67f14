//! Bytes and bits of the stored forms: little-endian, minimal, and checked on reading.
//!
//! Reading never panics and never allocates by an untrusted length: each length is checked against
//! the bytes that are there.

use std::fmt;

/// Why stored bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends before the value does.
    Truncated,
    /// The value ends before the input does.
    TrailingBytes,
    /// Written by a version of the format that this one does not know.
    Version(u8),
    /// The named part contradicts the format or another part.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "stored value is truncated"),
            Self::TrailingBytes => write!(f, "stored value has trailing bytes"),
            Self::Version(version) => {
                write!(f, "stored value has unknown format version {version}")
            }
            Self::Invalid(part) => write!(f, "stored value is corrupt: {part}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Refuses a stored value for the named reason unless `valid`.
pub(crate) fn require(valid: bool, part: &'static str) -> Result<(), DecodeError> {
    if valid {
        Ok(())
    } else {
        Err(DecodeError::Invalid(part))
    }
}

/// The low 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is its purpose")]
#[inline]
pub(crate) fn low_word(x: u128) -> u64 {
    x as u64
}

/// Appends `value` in LEB128: seven bits a byte, least significant first.
pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7F) as u8);
}

/// A cursor over stored bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_le_bytes)
    }

    /// Reads LEB128; only the shortest form of a number is accepted, so that bytes compare as
    /// values.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            require((bits << shift) >> shift == bits, "number too large")?;
            value |= bits << shift;
            if byte & 0x80 == 0 {
                require(shift == 0 || byte != 0, "number not in its shortest form")?;
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid("number too long"))
    }

    /// The remaining bytes, leaving nothing.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }
}

/// Appends bits to bytes, least significant first.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u128,
    pending_bits: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            pending: 0,
            pending_bits: 0,
        }
    }

    /// Appends the `count` low bits of `value`; `count` is at most 64 and `value` has no others.
    pub(crate) fn bits(&mut self, value: u64, count: u32) {
        self.pending |= u128::from(value) << self.pending_bits;
        self.pending_bits += count;
        while self.pending_bits >= 8 {
            self.out.push((self.pending & 0xFF) as u8);
            self.pending >>= 8;
            self.pending_bits -= 8;
        }
    }

    /// Appends `value >= 1` in Elias's gamma code: as many zeros as bits follow the leading one, a
    /// one, and those bits (Elias, "Universal codeword sets", IEEE Trans. Inf. Theory 21, 1975).
    pub(crate) fn gamma(&mut self, value: u64) {
        let tail = value.max(1).ilog2();
        self.bits(0, tail);
        self.bits(1, 1);
        self.bits(value & !(1 << tail), tail);
    }

    /// Pads the last byte with zeros.
    pub(crate) fn finish(mut self) {
        let padding = (8 - self.pending_bits % 8) % 8;
        self.bits(0, padding);
    }
}

/// Reads what [`BitWriter`] wrote.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u128,
    pending_bits: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            pending: 0,
            pending_bits: 0,
        }
    }

    /// Makes at least 64 bits pending, or all that are left.
    fn fill(&mut self) {
        if self.pending_bits >= 64 {
            return;
        }
        if let Some((word, rest)) = self.bytes.split_first_chunk() {
            self.pending |= u128::from(u64::from_le_bytes(*word)) << self.pending_bits;
            self.pending_bits += 64;
            self.bytes = rest;
            return;
        }
        for &byte in self.bytes {
            self.pending |= u128::from(byte) << self.pending_bits;
            self.pending_bits += 8;
        }
        self.bytes = &[];
    }

    /// Reads `count <= 64` bits.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u64, DecodeError> {
        self.fill();
        if count > self.pending_bits {
            return Err(DecodeError::Truncated);
        }
        let value = low_word(self.pending & ((1 << count) - 1));
        self.pending >>= count;
        self.pending_bits -= count;
        Ok(value)
    }

    pub(crate) fn gamma(&mut self) -> Result<u64, DecodeError> {
        self.fill();
        let tail = self.pending.trailing_zeros();
        require(
            tail < u64::BITS || self.pending_bits < u64::BITS,
            "bucket code too long",
        )?;
        if tail >= self.pending_bits {
            return Err(DecodeError::Truncated);
        }
        self.pending >>= tail + 1;
        self.pending_bits -= tail + 1;
        Ok(1 << tail | self.bits(tail)?)
    }

    /// Accepts only zero padding up to the next byte and nothing behind it.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.pending_bits >= 8 || !self.bytes.is_empty() {
            return Err(DecodeError::TrailingBytes);
        }
        require(self.pending == 0, "padding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varints_have_one_form() {
        assert_eq!(Reader::new(&[0x80, 0x00]).varint().ok(), None);
        assert_eq!(Reader::new(&[0xFF; 10]).varint().ok(), None);
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn varints_round_trip(value in any::<u64>(), shift in 0_u32..64) {
            let mut out = Vec::new();
            write_varint(&mut out, value >> shift);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(value >> shift));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn bit_codes_round_trip(values in prop::collection::vec((any::<u64>(), 0_u32..64), 0..50)) {
            let values: Vec<u64> = values.iter().map(|(x, shift)| (x >> shift).max(1)).collect();
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            for &value in &values {
                writer.gamma(value);
                writer.bits(value, 64);
            }
            writer.finish();
            let mut reader = BitReader::new(&out);
            for &value in &values {
                prop_assert_eq!(reader.gamma(), Ok(value));
                prop_assert_eq!(reader.bits(64), Ok(value));
            }
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
