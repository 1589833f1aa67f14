//! Lifecycle of agents: states with rules, guarded transitions, time in state, survival, health.
//! The algorithms are in `crates/lifecycle`, the SQL in `sql/lifecycle/`.

pub mod analysis;
pub mod requests;
pub mod rules;
pub mod states;
pub mod transition;
mod triggers;

use lifecycle::Error;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::setup::{relation_owner, table_named};

/// Says what the crate refused in Postgres's terms.
fn raise_error(error: &Error) -> ! {
    let (code, hint) = match error {
        Error::Duration(_) => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Give durations as finite numbers of zero or more.",
        ),
        Error::Confidence(_) => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Use 0.95, the default, for intervals that hold 95 % of the time.",
        ),
        Error::Lengths => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Make the arrays with array_agg() in one query, in one order.",
        ),
        Error::Groups(_) | Error::Indistinguishable => (
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "Compare groups that have observations and events at the same time.",
        ),
        _ => (
            PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
            "Only values that this extension has written can be read back.",
        ),
    };
    raise(code, error.to_string(), hint)
}

/// The value, or its error as a Postgres ERROR.
fn or_raise<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => raise_error(&error),
    }
}

fn raise_argument(argument: &str, value: &str, problem: &str, hint: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{argument} \"{value}\" is not allowed: {problem}"),
        hint,
    )
}

/// The owner of the tables, who writes what nobody may write directly.
fn owner() -> pg_sys::Oid {
    // SAFETY: inside a function call there is a transaction.
    unsafe { relation_owner(table_named(c"analytics", c"agent_lifecycle_events")) }
}

/// Who acts: to be asked before the rights change.
pub struct Actor {
    pub role: String,
    pub user_id: Option<pgrx::Uuid>,
}

impl Actor {
    fn current() -> Self {
        Self {
            role: crate::audit::caller(),
            user_id: crate::access::current_user_id(),
        }
    }
}
