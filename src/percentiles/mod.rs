//! Percentiles, sketches, distinct counts and one-pass statistics: crate `percentiles` as aggregates and types.
//! The SQL is in `sql/percentiles.sql`.

pub mod arrays;
pub mod distinct;
mod exact;
pub mod sketch;
mod stats;
pub(crate) mod stored;

use percentiles::Error;
use pgrx::prelude::*;

use crate::errors::raise;

/// Says what the crate refused in Postgres's terms.
fn raise_error(error: &Error) -> ! {
    let (code, hint) = match error {
        Error::Percentile(_) => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Give a share such as 0.95 for the 95th percentile.",
        ),
        Error::Alpha(_) => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Give the relative error as a share; 0.01, the default, is 1 %.",
        ),
        Error::AlphaMismatch { .. } => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Build all sketches that are to be merged with the same relative error.",
        ),
        Error::HistogramBuckets(_) => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Ask for some ten or twenty buckets.",
        ),
        Error::TooManyValues => (
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "Merge fewer sketches into one.",
        ),
        _ => (
            PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
            "Only values that this extension has written can be read back.",
        ),
    };
    raise(code, error.to_string(), hint)
}

/// The value, or its error as a Postgres ERROR.
pub fn or_raise<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => raise_error(&error),
    }
}

/// How a standard deviation or variance is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Sample,
    Population,
}

impl Method {
    fn of(name: Option<&[u8]>) -> Self {
        match name {
            Some(b"sample") => Self::Sample,
            Some(b"population") => Self::Population,
            other => raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!(
                    "method \"{}\" is not allowed: it is not a kind of variance",
                    other.map_or("NULL".into(), String::from_utf8_lossy)
                ),
                "Use sample (divides by n - 1, the default) or population (divides by n).",
            ),
        }
    }
}
