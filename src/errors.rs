//! Errors of this extension: a SQLSTATE, a message that names the value, and a hint that says what to do.

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

/// An argument that must be given; other arguments of its function may be NULL.
pub fn given<T>(value: Option<T>, argument: &str) -> T {
    match value {
        Some(value) => value,
        None => raise(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            format!("{argument} NULL is not allowed: it must be given"),
            "Give a value that is not NULL.",
        ),
    }
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
fn refuse_argument(
    argument: Option<&str>,
    value: Option<&str>,
    problem: Option<&str>,
    hint: Option<&str>,
) -> bool {
    let argument = argument.unwrap_or("an argument");
    let problem = problem.unwrap_or("it cannot be used");
    let value = value.map_or_else(|| "NULL".to_owned(), |value| format!("\"{value}\""));
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{argument} {value} is not allowed: {problem}"),
        hint.unwrap_or("Read the comment of the function."),
    )
}
