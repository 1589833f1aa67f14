//! The text form of a sketch: `ps1:` and the stored bytes in hexadecimal.
//!
//! Lossless and the same for equal sketches. Its reader is a machine, as with `bytea`; people ask
//! the sketch instead.

use super::PercentileSketch;
use crate::Error;
use crate::codec::{DecodeError, require};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "ps1:";

impl fmt::Display for PercentileSketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        let bytes = self.to_bytes();
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PercentileSketch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(DecodeError::Invalid("text does not start with ps1:"))?;
        Self::from_bytes(&bytes_of(digits)?)
    }
}

fn bytes_of(digits: &str) -> Result<Vec<u8>, DecodeError> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    require(rest.is_empty(), "odd number of hexadecimal digits")?;
    pairs.iter().map(|&pair| byte_of(pair)).collect()
}

fn byte_of([high, low]: [u8; 2]) -> Result<u8, DecodeError> {
    let digit = |c: u8| char::from(c).to_digit(16);
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low).to_le_bytes()[0]),
        _ => Err(DecodeError::Invalid("not a hexadecimal digit")),
    }
}
