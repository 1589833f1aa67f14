//! What can be wrong with an argument or with stored bytes.

use crate::codec::DecodeError;
use std::fmt;

/// Every way in which this crate refuses its input.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A percentile is NaN or outside `0..=1`.
    Percentile(f64),
    /// A relative error is NaN or outside [`crate::sketch::ALPHA_RANGE`].
    Alpha(f64),
    /// Two sketches were made with different relative errors and cannot be merged.
    AlphaMismatch {
        /// Relative error of the sketch that was to take the other in.
        left: f64,
        /// Relative error of the other sketch.
        right: f64,
    },
    /// A histogram was asked for with zero or too many buckets.
    HistogramBuckets(usize),
    /// Together the sketches would hold more than [`crate::sketch::MAX_COUNT`] values.
    TooManyValues,
    /// Stored bytes are not a value that this crate has written.
    Decode(DecodeError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(p) => write!(f, "percentile value {p} is not between 0 and 1"),
            Self::Alpha(alpha) => {
                let range = crate::sketch::ALPHA_RANGE;
                write!(
                    f,
                    "relative error {alpha} is not between {} and {}",
                    range.start(),
                    range.end()
                )
            }
            Self::AlphaMismatch { left, right } => write!(
                f,
                "cannot merge percentile sketches of different relative errors ({left:.6} and {right:.6})"
            ),
            Self::HistogramBuckets(buckets) => write!(
                f,
                "number of histogram buckets {buckets} is not between 1 and {}",
                crate::sketch::MAX_HISTOGRAM_BUCKETS
            ),
            Self::TooManyValues => write!(f, "the merged sketch would hold too many values"),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
