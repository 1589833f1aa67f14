//! Materialized views over the rollups: refreshed when their inputs have changed, in the order of their dependencies.

use std::time::Instant;

use pgrx::prelude::*;

use super::refresh::{as_refresher, check_trigger};
use crate::query::{change, change_rows};
use crate::roles::with_temporary_tables;
use crate::setup::require_schema;
use crate::subtransaction::{Failure, attempt};

struct Summary {
    name: String,
    /// The sum of the versions of its inputs, now and when it was refreshed.
    inputs: i64,
    refreshed: Option<i64>,
    is_populated: bool,
    failures: i32,
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn refresh_materialized_views(
    triggered_by: &str,
) -> TableIterator<
    'static,
    (
        name!(object, String),
        name!(status, String),
        name!(duration_seconds, f64),
        name!(error_code, Option<String>),
        name!(error_message, Option<String>),
    ),
> {
    check_trigger(triggered_by);
    require_schema();
    let done = as_refresher(|| {
        summaries()
            .into_iter()
            .map(|summary| refresh_one(summary, triggered_by))
            .collect::<Vec<_>>()
    });
    TableIterator::new(done)
}

fn summaries() -> Vec<Summary> {
    let sql = "
        SELECT v.name, coalesce(sum(s.version), 0)::bigint, max(own.version), bool_and(c.relispopulated),
               coalesce(max(own.consecutive_failures), 0)
        FROM analytics_internal.summaries() AS v
        JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.format('analytics_internal.%I', v.name)::regclass
        LEFT JOIN analytics_internal.rollup_state AS s ON s.rollup = ANY (v.inputs)
        LEFT JOIN analytics_internal.rollup_state AS own ON own.rollup = v.name
        GROUP BY v.place, v.name
        ORDER BY v.place";
    let found = change_rows(sql, &[], |row| {
        Some(Summary {
            name: row.get(1)?,
            inputs: row.get(2)?,
            refreshed: row.get(3),
            is_populated: row.get(4)?,
            failures: row.get(5)?,
        })
    });
    found.into_iter().flatten().collect()
}

type Line = (String, String, f64, Option<String>, Option<String>);

fn refresh_one(summary: Summary, triggered_by: &str) -> Line {
    if summary.is_populated && summary.refreshed == Some(summary.inputs) && summary.failures == 0 {
        return (summary.name, "clean".to_owned(), 0.0, None, None);
    }
    let started = Instant::now();
    let concurrently = if summary.is_populated {
        "CONCURRENTLY "
    } else {
        ""
    };
    let statement = format!(
        "REFRESH MATERIALIZED VIEW {concurrently}analytics_internal.{}",
        summary.name
    );
    let result = attempt(|| with_temporary_tables(|| change(&statement, &[])));
    let seconds = started.elapsed().as_secs_f64();
    let failure = result.err();
    note(&summary, failure.as_ref(), seconds, triggered_by);
    let status = if failure.is_some() {
        "failed"
    } else {
        "refreshed"
    };
    let (code, message) = failure.map_or((None, None), |failure| {
        (Some(failure.code), Some(failure.message))
    });
    (summary.name, status.to_owned(), seconds, code, message)
}

fn note(summary: &Summary, failure: Option<&Failure>, seconds: f64, triggered_by: &str) {
    let code = failure.map(|failure| failure.code.as_str());
    let message = failure.map(|failure| failure.message.as_str());
    change(
        "INSERT INTO analytics_internal.rollup_state AS s
             (rollup, version, last_success_at, consecutive_failures, error_code, error_message)
         VALUES ($1, $2, CASE WHEN $3 IS NULL THEN pg_catalog.clock_timestamp() END, ($3 IS NOT NULL)::integer, $3, $4)
         ON CONFLICT (rollup) DO UPDATE
         SET version = CASE WHEN $3 IS NULL THEN excluded.version ELSE s.version END,
             last_success_at = coalesce(excluded.last_success_at, s.last_success_at),
             consecutive_failures = CASE WHEN $3 IS NULL THEN 0 ELSE s.consecutive_failures + 1 END,
             error_code = excluded.error_code, error_message = excluded.error_message",
        &[
            summary.name.as_str().into(),
            summary.inputs.into(),
            code.into(),
            message.into(),
        ],
    );
    change(
        "INSERT INTO analytics.refresh_log
             (refresh_id, object, triggered_by, status, started_at, duration_seconds, attempt, error_code, error_message)
         VALUES (pg_catalog.gen_random_uuid(), $1, $2, CASE WHEN $5 IS NULL THEN 'refreshed' ELSE 'failed' END,
                 pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $3), $3, $4, $5, $6)",
        &[
            summary.name.as_str().into(),
            triggered_by.into(),
            seconds.into(),
            summary.failures.saturating_add(1).into(),
            code.into(),
            message.into(),
        ],
    );
}
