//! Materialized views over the rollups: refreshed when their inputs have changed, in the order of their dependencies.

use std::time::Instant;

use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;

use super::refresh::{as_refresher, check_trigger, run};
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

#[pg_extern]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn refresh_materialized_views(
    triggered_by: default!(&str, "'manual'"),
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
    let done = as_refresher(|client| {
        summaries(client)
            .into_iter()
            .map(|summary| refresh_one(client, summary, triggered_by))
            .collect::<Vec<_>>()
    });
    TableIterator::new(done)
}

fn summaries(client: &mut SpiClient) -> Vec<Summary> {
    let sql = "
        SELECT v.name, coalesce(sum(s.version), 0)::bigint, max(own.version), bool_and(c.relispopulated),
               coalesce(max(own.consecutive_failures), 0)
        FROM analytics_internal.summaries() AS v
        JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.format('analytics_internal.%I', v.name)::regclass
        LEFT JOIN analytics_internal.rollup_state AS s ON s.rollup = ANY (v.inputs)
        LEFT JOIN analytics_internal.rollup_state AS own ON own.rollup = v.name
        GROUP BY v.place, v.name
        ORDER BY v.place";
    run(client, sql, &[])
        .filter_map(|row| {
            Some(Summary {
                name: row.get::<String>(1).unwrap_or_report()?,
                inputs: row.get::<i64>(2).unwrap_or_report()?,
                refreshed: row.get::<i64>(3).unwrap_or_report(),
                is_populated: row.get::<bool>(4).unwrap_or_report()?,
                failures: row.get::<i32>(5).unwrap_or_report()?,
            })
        })
        .collect()
}

type Line = (String, String, f64, Option<String>, Option<String>);

fn refresh_one(client: &mut SpiClient, summary: Summary, triggered_by: &str) -> Line {
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
    let result = attempt(|| {
        run(client, &statement, &[]);
    });
    let seconds = started.elapsed().as_secs_f64();
    let failure = result.err();
    note(client, &summary, failure.as_ref(), seconds, triggered_by);
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

fn note(
    client: &mut SpiClient,
    summary: &Summary,
    failure: Option<&Failure>,
    seconds: f64,
    triggered_by: &str,
) {
    let code = failure.map(|failure| failure.code.as_str());
    let message = failure.map(|failure| failure.message.as_str());
    run(
        client,
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
    run(
        client,
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
