//! `refresh()`: computes anew the buckets that changed, a bounded batch at a time.
//!
//! A batch is one transaction: changes are taken from the log, and computed by later statements, whose snapshots see at
//! least the rows whose changes were taken. What is committed in between is in the log still, and is computed again. A
//! rollup that fails gets its part of the batch back into the log under its own name, and the others go on.

use std::time::Instant;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::capture::write_to_log;
use super::declarations::{HOUR, MINUTES_KEPT, MINUTES_SLACK, ROLLUPS, Rollup};
use super::floors::{Floors, floors};
use super::owner;
use super::state::{Outcome, Stragglers, attempts, failed, succeeded, write_log};
use super::time::{floor, statement_start, to_time};
use super::work::{Work, log_changed_partitions, put_back, take};
use crate::errors::raise;
use crate::query::{change_kept, change_one_kept, change_rows_named};
use crate::roles::{as_role, with_setting};
use crate::setup::require_schema;
use crate::subtransaction::attempt;

const MOST_BUCKETS: i32 = 1_000_000;

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn refresh(
    max_buckets: i32,
    triggered_by: &str,
) -> TableIterator<
    'static,
    (
        name!(object, String),
        name!(status, String),
        name!(bucket_count, i64),
        name!(read_count, i64),
        name!(written_count, i64),
        name!(removed_count, i64),
        name!(duration_seconds, f64),
        name!(error_code, Option<String>),
        name!(error_message, Option<String>),
    ),
> {
    check_arguments(max_buckets, triggered_by);
    require_schema();
    let outcomes = as_refresher(|| refresh_batch(max_buckets, triggered_by));
    TableIterator::new(outcomes.into_iter().map(|outcome| {
        let (code, message) = match outcome.failure {
            Some(failure) => (Some(failure.code), Some(failure.message)),
            None => (None, None),
        };
        (
            outcome.object,
            outcome.status.to_owned(),
            outcome.counts.buckets,
            outcome.counts.read,
            outcome.counts.written,
            outcome.counts.removed,
            outcome.seconds,
            code,
            message,
        )
    }))
}

fn check_arguments(max_buckets: i32, triggered_by: &str) {
    if !(1..=MOST_BUCKETS).contains(&max_buckets) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!(
                "max_buckets \"{max_buckets}\" is not allowed: it lies outside 1 to {MOST_BUCKETS}"
            ),
            "Leave it out: 5000 buckets take about a second.",
        )
    }
    check_trigger(triggered_by);
}

pub fn check_trigger(triggered_by: &str) {
    if !["manual", "cron"].contains(&triggered_by) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!(
                "triggered_by \"{triggered_by}\" is not allowed: it is neither manual nor cron"
            ),
            "Leave it out.",
        )
    }
}

/// As the owner of the tables. Compiling would take longer than what is compiled.
pub fn as_refresher<T>(action: impl FnOnce() -> T) -> T {
    as_role(owner(), || with_setting(c"jit", c"off", action))
}

fn tables() -> impl Iterator<Item = &'static str> {
    ROLLUPS
        .iter()
        .flat_map(|rollup| rollup.levels().map(|level| level.table))
}

fn refresh_batch(max_buckets: i32, triggered_by: &str) -> Vec<Outcome> {
    if !try_lock() {
        return tables()
            .map(|table| Outcome::nothing(table, "locked"))
            .collect();
    }
    write_to_log();
    log_changed_partitions();
    let mut outcomes = Vec::new();
    let mut is_idle = true;
    let stragglers = Stragglers::look_up();
    if let Some(work) = take(None, max_buckets) {
        is_idle = false;
        for rollup in ROLLUPS {
            if work.concerns(rollup) && stragglers.contain(rollup) {
                put_back(rollup, &work);
                outcomes.push(Outcome::nothing(rollup.base.table, "waiting"));
            } else {
                compute(rollup, &work, &mut outcomes);
            }
        }
    }
    // What failed before is tried again when its time has come.
    for rollup in stragglers.due() {
        if let Some(work) = take(Some(rollup), max_buckets) {
            is_idle = false;
            compute(rollup, &work, &mut outcomes);
        }
    }
    trim_minutes();
    write_log(&outcomes, triggered_by);
    if is_idle {
        return tables()
            .map(|table| Outcome::nothing(table, "clean"))
            .collect();
    }
    outcomes
}

/// One refresher at a time, to the end of its transaction: no state of the session, so that a pooler does no harm.
fn try_lock() -> bool {
    let locked: Option<bool> = change_one_kept(
        "SELECT pg_catalog.pg_try_advisory_xact_lock(analytics_internal.refresh_lock())",
        &[],
    );
    locked == Some(true)
}

/// Waits until no other session refreshes.
pub fn wait_for_lock() {
    change_kept(
        "SELECT pg_catalog.pg_advisory_xact_lock(analytics_internal.refresh_lock())",
        &[],
    );
}

/// All that one rollup has to do alone, in this transaction; an error ends it. Returns the rows written and removed.
pub fn refresh_alone(rollup: &Rollup) -> i64 {
    let mut changed = 0;
    while let Some(work) = take(Some(rollup), MOST_BUCKETS) {
        let floors = floors();
        for outcome in compute_levels(rollup, &work, &floors) {
            changed += outcome.counts.written + outcome.counts.removed;
        }
        pgrx::check_for_interrupts!();
    }
    succeeded(rollup);
    changed
}

fn compute(rollup: &Rollup, work: &Work, outcomes: &mut Vec<Outcome>) {
    if !work.concerns(rollup) {
        return;
    }
    announce(rollup, work);
    let started = Instant::now();
    let attempts = attempts(rollup);
    let floors = floors();
    match attempt(|| compute_levels(rollup, work, &floors)) {
        Ok(mut done) => {
            succeeded(rollup);
            for outcome in &mut done {
                outcome.attempt = attempts;
            }
            outcomes.append(&mut done);
        }
        Err(failure) => {
            put_back(rollup, work);
            failed(rollup, &failure);
            outcomes.push(Outcome {
                seconds: started.elapsed().as_secs_f64(),
                attempt: attempts,
                failure: Some(failure),
                ..Outcome::nothing(rollup.base.table, "failed")
            });
        }
    }
}

/// So that another session can see in `pg_stat_activity` what this one is at.
fn announce(rollup: &Rollup, work: &Work) {
    let text = format!("analytics.refresh: {}, {}", rollup.name, work.describe());
    if let Ok(text) = std::ffi::CString::new(text) {
        // SAFETY: copies the text.
        unsafe {
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr());
        }
    }
}

fn compute_levels(rollup: &Rollup, work: &Work, floors: &Floors) -> Vec<Outcome> {
    rollup
        .levels()
        .map(|level| {
            let started = Instant::now();
            let counts = work.compute(rollup, level, floors);
            Outcome::refreshed(level.table, counts, started)
        })
        .collect()
}

/// Minutes that no read asks for any more.
fn trim_minutes() {
    let before = floor(statement_start(), HOUR).saturating_sub(MINUTES_KEPT + MINUTES_SLACK);
    for level in ROLLUPS.iter().filter_map(|rollup| rollup.minutes) {
        let sql = || {
            format!(
                "DELETE FROM analytics.{} AS t WHERE t.bucket < $1",
                level.table
            )
        };
        change_rows_named(
            &format!("trim {}", level.table),
            sql,
            &[to_time(before).into()],
            |_| (),
        );
    }
}
