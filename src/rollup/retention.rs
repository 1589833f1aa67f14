//! Retention: removing raw rows older than the limit, past triggers and foreign keys. So the rollups of that time stay,
//! and so do rows that refer to removed ones.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

use super::capture::unnoticed;
use super::declarations::SOURCES;
use crate::errors::raise;
use crate::roles::with_setting;

/// Which rows are older than $1, by all of their times.
fn condition(table: &str) -> String {
    if table == "refresh_log" {
        return "r.started_at < $1".to_owned();
    }
    let times: Vec<String> = SOURCES
        .iter()
        .filter(|source| source.table == table)
        .map(|source| format!("{} < $1", source.time()))
        .collect();
    if times.is_empty() {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("table \"{table}\" is not allowed: it has no retention"),
            "Call analytics.cleanup_old_data() instead.",
        )
    }
    times.join(" AND ")
}

/// With `session_replication_role`, as `partitions::move_rows` does it; the caller's rights on the table decide.
#[pg_extern(schema = "analytics_internal")]
fn remove_rows(table_name: &str, before: TimestampWithTimeZone, most: i32) -> i64 {
    // A row's place is one within its partition.
    let statement = format!(
        "WITH old AS MATERIALIZED (
             SELECT r.tableoid AS part, r.ctid AS place FROM analytics.{table_name} AS r WHERE {} LIMIT $2
         ), removed AS (
             DELETE FROM analytics.{table_name} AS r USING old AS o
             WHERE r.tableoid = o.part AND r.ctid = o.place RETURNING 1
         )
         SELECT count(*) FROM removed",
        condition(table_name)
    );
    as_replica(|| {
        Spi::get_one_with_args::<i64>(&statement, &[before.into(), i64::from(most).into()])
            .unwrap_or_report()
            .unwrap_or(0)
    })
}

#[pg_extern(schema = "analytics_internal")]
fn unlink_runs(before: TimestampWithTimeZone) -> i64 {
    let unlink = |table: &str| {
        let statement = format!(
            "WITH unlinked AS (
                 UPDATE analytics.{table} AS r SET agent_run_id = NULL, run_started_at = NULL
                 WHERE r.run_started_at < $1 RETURNING 1
             )
             SELECT count(*) FROM unlinked"
        );
        Spi::get_one_with_args::<i64>(&statement, &[before.into()])
            .unwrap_or_report()
            .unwrap_or(0)
    };
    as_replica(|| unlink("agent_errors").saturating_add(unlink("agent_user_feedback")))
}

fn as_replica<T>(action: impl FnOnce() -> T) -> T {
    unnoticed(|| with_setting(c"session_replication_role", c"replica", action))
}
