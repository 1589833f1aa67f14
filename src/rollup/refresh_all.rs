//! `CALL refresh_all()`: refreshes batch by batch, each in a transaction of its own.
//!
//! In C's calling convention, because a procedure in PL/pgSQL may commit or pin its `search_path`, but not both.

use std::ffi::CStr;
use std::time::{Duration, Instant};

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::fmgr::Call;
use crate::sql_functions;

const ATTEMPTS: u32 = 3;
const DEFAULT_BUCKETS: i32 = 5000;
const DEFAULT_BUDGET: Duration = Duration::from_secs(50);

sql_functions! {
    fn refresh_all(call) {
        require_commit(call);
        let deadline = Instant::now().checked_add(budget(call));
        let most = max_buckets(call);
        // SAFETY: connects and, where no error ends the transaction, finishes; commits are allowed, as was checked.
        unsafe {
            pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC.cast_signed());
            ask(c"SELECT analytics_internal.require_schema()");
            ask(c"SELECT analytics_internal.try_partitions()");
            pg_sys::SPI_commit();
            run_batches(most, deadline);
            pg_sys::SPI_finish();
        }
        call.null()
    }
}

fn require_commit(call: Call) {
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
            "refresh_all() commits after each batch and cannot run inside of a transaction block",
            "Call it by itself, or use SELECT * FROM analytics.refresh() in your transaction.",
        )
    }
}

/// NULL means the default; months have 30 days.
fn budget(call: Call) -> Duration {
    let Some(datum) = call.datum(0) else {
        return DEFAULT_BUDGET;
    };
    // SAFETY: the SQL declares the argument as interval, which is passed by reference.
    let interval = unsafe { *datum.cast_mut_ptr::<pg_sys::Interval>() };
    let days = i64::from(interval.day).saturating_add(i64::from(interval.month).saturating_mul(30));
    let microseconds = days
        .saturating_mul(86_400_000_000)
        .saturating_add(interval.time);
    let Ok(microseconds) = u64::try_from(microseconds) else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "time_budget is not allowed: it is below zero",
            "Give the time after which no further batch begins, such as '50 seconds'.",
        )
    };
    Duration::from_micros(microseconds)
}

fn max_buckets(call: Call) -> i32 {
    // SAFETY: the SQL declares the argument as integer.
    let most = call
        .datum(1)
        .and_then(|datum| unsafe { i32::from_datum(datum, false) });
    most.unwrap_or(DEFAULT_BUCKETS)
}

/// Until nothing is left, somebody else refreshes, or the time is up. A batch that fails is tried again after a while;
/// the last attempt lets its error through.
///
/// # Safety
/// Connected to SPI, and free to commit.
unsafe fn run_batches(most: i32, deadline: Option<Instant>) {
    let guarded = format!("SELECT analytics_internal.try_refresh({most})\0");
    let unguarded = format!("SELECT status FROM analytics.refresh({most}) LIMIT 1\0");
    let mut failures = 0;
    loop {
        let statement = if failures + 1 < ATTEMPTS {
            &guarded
        } else {
            &unguarded
        };
        let Ok(statement) = CStr::from_bytes_with_nul(statement.as_bytes()) else {
            return;
        };
        // SAFETY: as required of the caller.
        let status = unsafe {
            let status = ask(statement);
            pg_sys::SPI_commit();
            status
        };
        match status.as_deref() {
            Some("refreshed") => failures = 0,
            Some("failed") => {
                failures += 1;
                // SAFETY: as required of the caller. Sleeping so can be cancelled.
                unsafe { ask(c"SELECT pg_catalog.pg_sleep(0.5)") };
            }
            _ => return,
        }
        pgrx::check_for_interrupts!();
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            return;
        }
    }
}

/// The first value of a statement, as text.
///
/// # Safety
/// Connected to SPI.
unsafe fn ask(statement: &CStr) -> Option<String> {
    // SAFETY: a tuple table is valid until the next statement, and has the rows that were processed.
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
