//! `CALL refresh_all()` and `CALL cleanup_old_data()`: step by step, each in a transaction of its own.
//!
//! In C's calling convention, because a procedure in PL/pgSQL may commit or pin its `search_path`, but not both.

use std::ffi::{CStr, CString};
use std::time::{Duration, Instant};

use pgrx::PgLogLevel;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::owner;
use crate::errors::raise;
use crate::fmgr::Call;
use crate::roles::step_down_to;
use crate::sql_functions;

const ATTEMPTS: u32 = 3;
const DEFAULT_BUCKETS: i32 = 5000;
const DEFAULT_BUDGET: Duration = Duration::from_secs(50);
/// What is computed from rollups, as `try_step` knows it.
const AFTER_ROLLUPS: [&str; 3] = ["views", "leaderboards", "trends"];
/// How long a clean-up waits for transactions that write.
const PATIENCE: Duration = Duration::from_secs(10);
/// A rollup that fails for so many batches in a row keeps a clean-up from going on.
const MOST_BATCHES: u32 = 100_000;

sql_functions! {
    fn refresh_all(call) {
        require_commit(call, "refresh_all()");
        let deadline = Instant::now().checked_add(budget(call));
        // SAFETY: the SQL declares the arguments as integer and boolean.
        let (most, views) = unsafe {
            let most = call.datum(1).and_then(|datum| i32::from_datum(datum, false));
            let views = call.datum(2).and_then(|datum| bool::from_datum(datum, false));
            (most.unwrap_or(DEFAULT_BUCKETS), views.unwrap_or(true))
        };
        let trigger = triggered_by(call, 3);
        in_steps(|| {
            ask("SELECT analytics_internal.require_schema()");
            ask(&format!("SELECT analytics_internal.try_step('partitions', '{trigger}')"));
            commit();
            refresh_until_clean(most, trigger, deadline);
            for step in AFTER_ROLLUPS.iter().filter(|_| views) {
                ask(&format!("SELECT analytics_internal.try_step('{step}', '{trigger}')"));
                commit();
            }
            warn_of_failures();
        });
        call.null()
    }

    fn cleanup_old_data(call) {
        require_commit(call, "cleanup_old_data()");
        let trigger = triggered_by(call, 0);
        in_steps(|| {
            ask("SELECT analytics_internal.require_schema()");
            ask("SELECT analytics_internal.raise_floors()");
            commit();
            if !writers_are_gone() {
                postpone(trigger, "transactions that were open before are still writing");
                return;
            }
            // It finds partitions that came or went, which no trigger has noticed.
            let first = refresh_once(DEFAULT_BUCKETS, trigger);
            if !matches!(first.as_deref(), Some("refreshed" | "clean")) {
                postpone(trigger, "the rollups of the old rows could not be brought up to date");
                return;
            }
            for _ in 0..MOST_BATCHES {
                if !is_true("SELECT analytics_internal.has_old_changes()") {
                    ask("SELECT analytics_internal.make_final()");
                    commit();
                    break;
                }
                let status = refresh_once(DEFAULT_BUCKETS, trigger);
                if status.as_deref() != Some("refreshed") {
                    postpone(trigger, "the rollups of the old rows could not be brought up to date");
                    return;
                }
            }
            while is_true(&format!("SELECT analytics_internal.remove_old('{trigger}')")) {
                commit();
                pgrx::check_for_interrupts!();
            }
            commit();
        });
        call.null()
    }
}

fn require_commit(call: Call, name: &str) {
    // SAFETY: the context of a procedure's call is NULL or a node whose tag says what it is.
    let may_commit = unsafe {
        let context = (*call.info()).context;
        !context.is_null()
            && (*context).type_ == pg_sys::NodeTag::T_CallContext
            && !(*context.cast::<pg_sys::CallContext>()).atomic
    };
    if !may_commit {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_TRANSACTION_TERMINATION,
            format!("{name} commits after each step and cannot run inside of a transaction block"),
            "Call it by itself; in a transaction of yours, SELECT * FROM analytics.refresh() does one batch.",
        )
    }
}

/// NULL means the default; months have 30 days.
fn budget(call: Call) -> Duration {
    let Some(interval) = call.interval(0) else {
        return DEFAULT_BUDGET;
    };
    let days =
        i64::from(interval.days()).saturating_add(i64::from(interval.months()).saturating_mul(30));
    let microseconds = days
        .saturating_mul(super::declarations::DAY)
        .saturating_add(interval.micros());
    let Ok(microseconds) = u64::try_from(microseconds) else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "time_budget is not allowed: it is below zero",
            "Give the time after which no further batch begins, such as '50 seconds'.",
        )
    };
    Duration::from_micros(microseconds)
}

/// One of two words, so that it can stand in a statement.
fn triggered_by(call: Call, index: usize) -> &'static str {
    match call.bytes(index) {
        None | Some(b"manual") => "manual",
        Some(b"cron") => "cron",
        Some(_) => raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "triggered_by is not allowed: it is neither manual nor cron",
            "Leave it out.",
        ),
    }
}

fn in_steps(action: impl FnOnce()) {
    // SAFETY: connects and, where no error ends the transaction, finishes; commits are allowed, as was checked.
    unsafe { pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC.cast_signed()) };
    action();
    // SAFETY: as above.
    unsafe { pg_sys::SPI_finish() };
}

fn commit() {
    // SAFETY: called within `in_steps`, with no result in use.
    unsafe { pg_sys::SPI_commit() };
}

/// Until nothing is left, somebody else refreshes, or the time is up.
fn refresh_until_clean(most: i32, trigger: &str, deadline: Option<Instant>) {
    let mut failures = 0;
    loop {
        match refresh_once(most, trigger).as_deref() {
            Some("refreshed") => failures = 0,
            Some("failed") => {
                failures += 1;
                if failures >= ATTEMPTS {
                    return;
                }
                nap(0.5 * f64::from(failures));
            }
            _ => return,
        }
        pgrx::check_for_interrupts!();
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            return;
        }
    }
}

fn refresh_once(most: i32, trigger: &str) -> Option<String> {
    let status = ask(&format!(
        "SELECT analytics_internal.try_step('refresh', '{trigger}', {most})"
    ));
    commit();
    status
}

/// Sleeping so can be cancelled.
fn nap(seconds: f64) {
    ask(&format!("SELECT pg_catalog.pg_sleep({seconds})"));
}

/// Transactions that began to write before the floors were raised may not know of them.
fn writers_are_gone() -> bool {
    let writers = ask("SELECT analytics_internal.writers()::text").unwrap_or_default();
    commit();
    let still_there = format!(
        "SELECT analytics_internal.writers() OPERATOR(pg_catalog.&&) {}::pg_catalog.text[]",
        quoted(&writers)
    );
    let started = Instant::now();
    while is_true(&still_there) {
        commit();
        if started.elapsed() >= PATIENCE {
            return false;
        }
        nap(0.1);
        commit();
    }
    commit();
    true
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn postpone(trigger: &str, reason: &str) {
    let reason_text = quoted(reason);
    ask(&format!(
        "SELECT analytics_internal.note_postponed('{trigger}', {reason_text})"
    ));
    commit();
    warn(
        &format!("clean-up postponed: {reason}"),
        "Call it again later; see analytics.refresh_log and pg_stat_activity.",
    );
}

fn warn_of_failures() {
    let failing = ask("SELECT analytics_internal.failing_rollups()");
    if let Some(failing) = failing {
        warn(
            &format!("not everything could be refreshed: {failing}"),
            "It is tried again by later refreshes; see analytics.rollup_status() and analytics.refresh_log.",
        );
    }
}

fn warn(message: &str, hint: &str) {
    pgrx::pg_sys::panic::ErrorReport::new(
        PgSqlErrorCode::ERRCODE_WARNING,
        message.to_owned(),
        pgrx::function_name!(),
    )
    .set_hint(hint)
    .report(PgLogLevel::WARNING);
}

fn is_true(statement: &str) -> bool {
    ask(statement).as_deref() == Some("t")
}

/// The first value of a statement, as text, asked for as the owner of the tables. Called within `in_steps`.
fn ask(statement: &str) -> Option<String> {
    let statement = CString::new(statement).ok()?;
    step_down_to(owner(), || first_text(&statement))
}

fn first_text(statement: &CStr) -> Option<String> {
    // SAFETY: connected to SPI; a tuple table is valid until the next statement, and has the rows that were processed.
    unsafe {
        pg_sys::SPI_execute(statement.as_ptr(), false, 1);
        let table = pg_sys::SPI_tuptable;
        if table.is_null() || pg_sys::SPI_processed == 0 {
            return None;
        }
        let text = pg_sys::SPI_getvalue(*(*table).vals, (*table).tupdesc, 1);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}
