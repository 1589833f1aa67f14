//! Leaderboards: crate `leaderboards` as functions of SQL. Which rows are compared is said in `sql/leaderboards/`,
//! which hands them over as one array for each column.

pub mod standings;
mod subjects;
pub mod workspaces;

use leaderboards::Method;
use leaderboards::boards::{AgentCriterion, Criterion, UserCriterion, WorkspaceCriterion};
use pgrx::prelude::*;

use crate::errors::raise;

fn refuse(argument: &str, value: Option<&str>, problem: &str, hint: &str) -> ! {
    let value = value.map_or_else(|| "NULL".to_owned(), |value| format!("\"{value}\""));
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{argument} {value} is not allowed: {problem}"),
        hint,
    )
}

/// What is ranked, in messages.
trait Named: Criterion {
    const WHO: &'static str;
}

impl Named for AgentCriterion {
    const WHO: &'static str = "agents";
}

impl Named for UserCriterion {
    const WHO: &'static str = "users";
}

impl Named for WorkspaceCriterion {
    const WHO: &'static str = "workspaces";
}

fn known_criterion<C: Named>(name: Option<&str>) -> C {
    match name.and_then(C::from_name) {
        Some(criterion) => criterion,
        None => refuse(
            "criteria",
            name,
            &format!("{} are not ranked by it", C::WHO),
            &format!("Use one of {}.", C::NAMES),
        ),
    }
}

fn known_method(name: Option<&str>) -> Method {
    match name.and_then(Method::from_name) {
        Some(method) => method,
        None => refuse(
            "ranking",
            name,
            "it is not a way to number ranks",
            &format!("Use one of {}.", Method::NAMES),
        ),
    }
}

fn known_minimum(runs: Option<i32>) -> u64 {
    match runs.map(u64::try_from) {
        Some(Ok(runs)) => runs,
        Some(Err(_)) => refuse(
            "minimum_runs",
            runs.map(|runs| runs.to_string()).as_deref(),
            "it is below zero",
            "Give the least number of runs that an estimate must rest on; 1 is the default.",
        ),
        None => 0,
    }
}

/// Raises 22023 for what is not a board, or not one of its criteria.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn require_board(board: Option<&str>, criteria: Option<&str>) {
    match board {
        Some("agent") => {
            known_criterion::<AgentCriterion>(criteria);
        }
        Some("user") => {
            known_criterion::<UserCriterion>(criteria);
        }
        Some("workspace") => {
            known_criterion::<WorkspaceCriterion>(criteria);
        }
        _ => refuse_board(board),
    }
}

fn refuse_board(board: Option<&str>) -> ! {
    refuse(
        "board",
        board,
        "there are no such boards",
        "Use one of agent, user, workspace.",
    )
}

/// Lower bound of the Wilson interval.
#[pg_extern(sql = false)]
fn wilson_lower_bound(successes: i64, trials: i64) -> f64 {
    match (u64::try_from(successes), u64::try_from(trials)) {
        (Ok(successes), Ok(trials)) if successes <= trials => {
            leaderboards::formulas::wilson_lower_bound(successes, trials)
        }
        _ => refuse(
            "successes",
            Some(&format!("{successes} of {trials}")),
            "it is not a number of trials",
            "Give numbers with 0 <= successes <= trials.",
        ),
    }
}
