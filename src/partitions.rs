//! Moving rows between partitions, past triggers and foreign keys.

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::roles::with_setting;
use crate::rollup::capture::unnoticed;

/// Moves the rows of `[lower, upper)` from one table of schema `analytics` to another and returns their number.
///
/// Neither foreign keys nor triggers may see it: deleting a run would delete its errors and feedback, and the rows
/// do not change, only the place where they are stored. As in logical replication, `session_replication_role` says
/// so; setting it is a superuser's right, so this function, which does nothing else with it, sets it here.
#[pg_extern(schema = "analytics_internal")]
fn move_rows(
    source: pg_sys::Oid,
    target: pg_sys::Oid,
    lower: TimestampWithTimeZone,
    upper: TimestampWithTimeZone,
) -> i64 {
    let statement = move_statement(source, target);
    let moved = unnoticed(|| {
        with_setting(c"session_replication_role", c"replica", || {
            Spi::get_one_with_args::<i64>(&statement, &[lower.into(), upper.into()])
                .unwrap_or_report()
        })
    });
    moved.unwrap_or(0)
}

/// Columns by name, because a partition that was attached may have them in another order.
fn move_statement(source: pg_sys::Oid, target: pg_sys::Oid) -> String {
    let sql = "
        SELECT format(
            'WITH moved AS (DELETE FROM %s WHERE started_at >= $1 AND started_at < $2 RETURNING %s), '
            'stored AS (INSERT INTO %s (%s) SELECT %s FROM moved RETURNING 1) SELECT count(*) FROM stored',
            $1::regclass, columns.list, $2::regclass, columns.list, columns.list)
        FROM (
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS list
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        ) AS columns
        JOIN pg_catalog.pg_class AS s ON s.oid = $1 AND s.relnamespace = 'analytics'::regnamespace
        JOIN pg_catalog.pg_class AS t ON t.oid = $2 AND t.relnamespace = 'analytics'::regnamespace";
    let statement = Spi::get_one_with_args::<String>(sql, &[source.into(), target.into()]);
    match statement {
        Ok(Some(statement)) => statement,
        Ok(None) | Err(_) => raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "rows move between tables of schema \"analytics\" only",
            "Call analytics.ensure_partitions() instead.",
        ),
    }
}
