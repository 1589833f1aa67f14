//! How many runs were active at the same time: crate `execution` as SQL functions.

use ::execution::sweep;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::rollup::time::{INFINITY, to_microseconds, to_time};

/// One row for each two neighbouring edges. What has no start is left out; what has no end goes on for ever.
#[pg_extern(
    schema = "analytics_internal",
    immutable,
    strict,
    parallel_safe,
    cost = 1000
)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // what pgrx makes of an array, and asks of a row
fn concurrency(
    starts: Array<'_, TimestampWithTimeZone>,
    ends: Array<'_, TimestampWithTimeZone>,
    edges: Array<'_, TimestampWithTimeZone>,
) -> TableIterator<
    'static,
    (
        name!(place, i64),
        name!(peak_runs, i64),
        name!(peak_at, Option<TimestampWithTimeZone>),
        name!(mean_runs, Option<f64>),
        name!(utilization, Option<f64>),
    ),
> {
    if starts.len() != ends.len() {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!(
                "{} starts and {} ends are not pairs",
                starts.len(),
                ends.len()
            ),
            "Give an end, or NULL, for each start.",
        )
    }
    let edges: Vec<i64> = edges.iter().flatten().map(to_microseconds).collect();
    let intervals = starts.iter().zip(ends.iter()).filter_map(|(start, end)| {
        Some((
            to_microseconds(start?),
            end.map_or(INFINITY, to_microseconds),
        ))
    });
    let rows: Vec<_> = sweep(intervals, &edges)
        .into_iter()
        .zip(1..)
        .map(|(bucket, place)| {
            (
                place,
                i64::try_from(bucket.peak).unwrap_or(i64::MAX),
                bucket.peak_at.map(to_time),
                bucket.mean(),
                bucket.utilization(),
            )
        })
        .collect();
    TableIterator::new(rows)
}
