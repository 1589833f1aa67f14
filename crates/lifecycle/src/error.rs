//! What can be wrong with an argument or with stored bytes.

use std::fmt;

/// Every way in which this crate refuses its input.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A duration is negative, infinite or NaN.
    Duration(f64),
    /// A confidence is not strictly between 0 and 1.
    Confidence(f64),
    /// Arrays that belong together differ in length.
    Lengths,
    /// A log-rank test needs two groups or more.
    Groups(usize),
    /// The groups of a log-rank test cannot be told apart: no event, or groups that never meet.
    Indistinguishable,
    /// Stored bytes are not a value that this crate has written.
    Decode,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration(value) => {
                write!(f, "duration {value} is not a finite number of zero or more")
            }
            Self::Confidence(value) => write!(f, "confidence {value} is not between 0 and 1"),
            Self::Lengths => write!(f, "the arrays have different lengths"),
            Self::Groups(count) => {
                write!(f, "a log-rank test needs two groups or more, not {count}")
            }
            Self::Indistinguishable => {
                write!(
                    f,
                    "the groups have no event at a time when two of them are at risk"
                )
            }
            Self::Decode => write!(f, "these bytes are not a state summary"),
        }
    }
}

impl std::error::Error for Error {}
