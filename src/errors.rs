//! How this extension says no: a SQLSTATE, a message that names the value, and a hint that says what to do.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgLogLevel, function_name};

/// Raises a Postgres ERROR. `hint` tells the user what to do about it.
pub fn raise(code: PgSqlErrorCode, message: impl Into<String>, hint: impl Into<String>) -> ! {
    ErrorReport::new(code, message.into(), function_name!())
        .set_hint(hint)
        .report(PgLogLevel::ERROR);
    unreachable!("reporting at ERROR does not return")
}

/// Fails a CHECK constraint: the last operand of an OR, so that it costs nothing while the constraint holds.
/// Volatile, because the planner would call an immutable function with constant arguments at once.
#[pg_extern(schema = "analytics_internal", volatile, strict, parallel_safe)]
fn refuse(column: &str, value: &str, problem: &str, hint: &str) -> bool {
    raise_check_violation(column, value, problem, hint)
}

/// The error of a CHECK constraint.
pub fn raise_check_violation(column: &str, value: &str, problem: &str, hint: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_CHECK_VIOLATION,
        format!("{column} \"{value}\" is not allowed: {problem}"),
        hint,
    )
}

/// Fails a call whose argument is not acceptable. Volatile for the same reason.
#[pg_extern(schema = "analytics_internal", volatile, parallel_safe)]
fn refuse_argument(argument: &str, value: Option<&str>, problem: &str, hint: &str) -> bool {
    let value = value.map_or_else(|| "NULL".to_owned(), |value| format!("\"{value}\""));
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{argument} {value} is not allowed: {problem}"),
        hint,
    )
}
