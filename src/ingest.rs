//! The rules of a run, in the one CHECK constraint of `analytics.agent_runs`.
//!
//! Postgres parses and prepares every CHECK of a table again for each statement that writes to it. As nine CHECKs with
//! messages, these rules took as long as the rest of a single-row INSERT. A function with one argument per column is
//! prepared ten times as fast, and checked faster in COPY.

use std::ffi::CStr;

use pgrx::pg_sys;

use crate::errors::raise_check_violation as refuse;
use crate::fmgr::Call;
use crate::sql_functions;

/// The arguments, in the order of the SQL declaration.
mod column {
    pub const STATUS: usize = 0;
    pub const STARTED_AT: usize = 1;
    pub const COMPLETED_AT: usize = 2;
    pub const RUNTIME_SECONDS: usize = 3;
    pub const CREDITS_CONSUMED: usize = 4;
    pub const TOKENS: [(usize, &str); 3] = [
        (5, "tokens_used"),
        (6, "prompt_tokens"),
        (7, "completion_tokens"),
    ];
    pub const CONCURRENT_RUNS: usize = 8;
    pub const USER_RATING: usize = 9;
}

const STATUSES: [&[u8]; 6] = [
    b"queued",
    b"running",
    b"completed",
    b"failed",
    b"cancelled",
    b"timeout",
];

/// As Postgres stores the infinite times.
const MINUS_INFINITY: i64 = i64::MIN;
const INFINITY: i64 = i64::MAX;

sql_functions! {
    fn is_valid_run(call) {
        check_status(call);
        check_times(call);
        check_completed(call);
        check_amounts(call);
        true.into()
    }
}

fn check_status(call: Call) {
    let Some(status) = call.bytes(column::STATUS) else {
        return; // NOT NULL says so itself
    };
    if !STATUSES.contains(&status) {
        refuse(
            "status",
            &String::from_utf8_lossy(status),
            "it is not a status of a run",
            "Use one of queued, running, completed, failed, cancelled, timeout.",
        )
    }
}

fn check_times(call: Call) {
    let started_at = integer(call, column::STARTED_AT).unwrap_or_default();
    if started_at == MINUS_INFINITY || started_at == INFINITY {
        refuse(
            "started_at",
            &shown(call, column::STARTED_AT, pg_sys::F_TIMESTAMPTZ_OUT),
            "it is not a point in time",
            "Give the time at which the run started.",
        )
    }
    if integer(call, column::COMPLETED_AT).is_some_and(|end| end < started_at || end == INFINITY) {
        refuse(
            "completed_at",
            &shown(call, column::COMPLETED_AT, pg_sys::F_TIMESTAMPTZ_OUT),
            "it lies before started_at or never comes",
            "A run cannot finish before it starts: check the clocks and the time zones of the writer.",
        )
    }
}

fn check_completed(call: Call) {
    let is_completed = call.bytes(column::STATUS) == Some(b"completed");
    if is_completed && call.datum(column::RUNTIME_SECONDS).is_none() {
        refuse(
            "runtime_seconds",
            "NULL",
            "a completed run has a runtime",
            "Give runtime_seconds, or call analytics.finish_run(), which measures it.",
        )
    }
}

fn check_amounts(call: Call) {
    let is_amount = |seconds: f64| seconds >= 0.0 && seconds.is_finite();
    if !call.f64(column::RUNTIME_SECONDS).is_none_or(is_amount) {
        refuse(
            "runtime_seconds",
            &shown(call, column::RUNTIME_SECONDS, pg_sys::F_FLOAT8OUT),
            "it is negative or not a number",
            "Give the duration in seconds, or NULL when it is not known.",
        )
    }
    if !call
        .bytes(column::CREDITS_CONSUMED)
        .is_none_or(is_numeric_amount)
    {
        refuse(
            "credits_consumed",
            &shown(call, column::CREDITS_CONSUMED, pg_sys::F_NUMERIC_OUT),
            "it is negative or not a number",
            "Give the credits that the run consumed, zero or more.",
        )
    }
    for (index, name) in column::TOKENS {
        check_range(
            call,
            index,
            0..=i64::MAX,
            name,
            "it is below zero",
            "Give tokens as zero or more, or NULL when they are not known.",
        );
    }
    check_range(
        call,
        column::CONCURRENT_RUNS,
        0..=i64::MAX,
        "concurrent_runs",
        "it is below zero",
        "Give the number of runs that were under way at the start.",
    );
    check_range(
        call,
        column::USER_RATING,
        1..=5,
        "user_rating",
        "a rating lies between 1 and 5",
        "Use 1 (worst) to 5 (best), or NULL for no rating.",
    );
}

/// Postgres widens smaller integers with their sign when it passes them by value.
fn integer(call: Call, index: usize) -> Option<i64> {
    call.datum(index)
        .map(|datum| datum.value().cast_signed() as i64)
}

fn check_range(
    call: Call,
    index: usize,
    allowed: std::ops::RangeInclusive<i64>,
    name: &str,
    problem: &str,
    hint: &str,
) {
    if let Some(value) = integer(call, index)
        && !allowed.contains(&value)
    {
        refuse(name, &value.to_string(), problem, hint)
    }
}

/// Whether a numeric is finite and not negative, from the first two bytes of its stored form, which cannot change
/// while Postgres upgrades clusters in place: `0b11` is NaN or infinite, `0b01` negative, `0b10` the short form with
/// a sign of its own (`src/backend/utils/adt/numeric.c`).
fn is_numeric_amount(stored: &[u8]) -> bool {
    const SHORT_NEGATIVE: u16 = 0x2000;
    let Some(bytes) = stored.first_chunk::<2>() else {
        return false;
    };
    let header = u16::from_ne_bytes(*bytes);
    match header >> 14 {
        0b00 => true,
        0b10 => header & SHORT_NEGATIVE == 0,
        _ => false,
    }
}

/// A value as Postgres shows it.
fn shown(call: Call, index: usize, output_function: u32) -> String {
    call.datum(index).map_or_else(String::new, |value| {
        // SAFETY: the output function of the type that the SQL declares for this argument.
        let text =
            unsafe { CStr::from_ptr(pg_sys::OidOutputFunctionCall(output_function.into(), value)) };
        text.to_string_lossy().into_owned()
    })
}
