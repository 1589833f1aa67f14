//! Times as Postgres stores them: microseconds since 2000-01-01 00:00 UTC, so that each multiple of a day starts a day.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

pub const MINUS_INFINITY: i64 = i64::MIN;
pub const INFINITY: i64 = i64::MAX;

/// A timestamptz as Postgres passes it.
pub fn from_datum(datum: pg_sys::Datum) -> i64 {
    datum.value().cast_signed() as i64
}

/// The first and the last time that a timestamptz can be: 4714-11-24 BC to the end of 294276.
const FIRST: i64 = -211_813_488_000_000_000;
const LAST: i64 = 9_223_371_331_199_999_999;

/// What lies beyond every time is infinite: the end of the last day, for example.
pub fn to_time(microseconds: i64) -> TimestampWithTimeZone {
    let representable = match microseconds {
        ..FIRST => MINUS_INFINITY,
        FIRST..=LAST => microseconds,
        _ => INFINITY,
    };
    // SAFETY: such a number is a timestamptz, passed by value and not NULL.
    let time =
        unsafe { TimestampWithTimeZone::from_datum(pg_sys::Datum::from(representable), false) };
    time.unwrap_or_else(TimestampWithTimeZone::positive_infinity)
}

pub fn to_microseconds(time: TimestampWithTimeZone) -> i64 {
    time.into_datum().map_or(INFINITY, from_datum)
}

/// The start of the bucket that a time lies in; infinite times stay.
pub fn floor(time: i64, width: i64) -> i64 {
    if time == INFINITY || time == MINUS_INFINITY {
        return time;
    }
    time.saturating_sub(time.rem_euclid(width))
}

/// The first start of a bucket that is not before a time; infinite times stay.
pub fn ceiling(time: i64, width: i64) -> i64 {
    let start = floor(time, width);
    if start == time {
        start
    } else {
        start.saturating_add(width)
    }
}

/// When the statement began.
pub fn statement_start() -> i64 {
    // SAFETY: reads a variable of this backend.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}
