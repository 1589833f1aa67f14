//! Times as Postgres stores them, microseconds since the year 2000 in UTC.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

pub const MINUS_INFINITY: i64 = i64::MIN;
pub const INFINITY: i64 = i64::MAX;

/// A timestamptz as Postgres passes it.
pub fn from_datum(datum: pg_sys::Datum) -> i64 {
    datum.value().cast_signed() as i64
}

pub fn to_time(microseconds: i64) -> TimestampWithTimeZone {
    // SAFETY: any number is a timestamptz, passed by value and not NULL.
    let time =
        unsafe { TimestampWithTimeZone::from_datum(pg_sys::Datum::from(microseconds), false) };
    time.unwrap_or_else(TimestampWithTimeZone::positive_infinity)
}

pub fn to_microseconds(time: TimestampWithTimeZone) -> i64 {
    time.into_datum().map_or(INFINITY, from_datum)
}
