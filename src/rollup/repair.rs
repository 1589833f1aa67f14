//! Repair: recomputing a rollup whether or not it has changed, and comparing it with the raw rows.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::{JsonB, datum::DatumWithOid};

use super::capture::write_to_log;
use super::declarations::{ROLLUPS, Rollup};
use super::floors::floors;
use super::refresh::{as_refresher, refresh_alone, wait_for_lock};
use super::time::{to_microseconds, to_time};
use super::work::log_everything_of;
use crate::errors::raise;
use crate::query::{Row, change_rows};
use crate::setup::require_schema;

const MOST_SAMPLED: i32 = 1_000_000;

#[pg_extern(sql = false)]
fn rebuild_rollup(
    rollup: &str,
    from_time: TimestampWithTimeZone,
    to_time: TimestampWithTimeZone,
) -> i64 {
    require_schema();
    let Some(rollup) = ROLLUPS.iter().find(|each| each.name == rollup) else {
        let names: Vec<&str> = ROLLUPS.iter().map(|each| each.name).collect();
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("rollup \"{rollup}\" is not allowed: it is not a rollup"),
            format!("Use one of {}.", names.join(", ")),
        )
    };
    as_refresher(|| {
        wait_for_lock();
        write_to_log();
        log_everything_of(rollup, to_microseconds(from_time), to_microseconds(to_time));
        refresh_alone(rollup)
    })
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn verify_rollups(
    sample: i32,
) -> TableIterator<
    'static,
    (
        name!(object, String),
        name!(workspace_id, Option<pgrx::Uuid>),
        name!(entity_id, Option<pgrx::Uuid>),
        name!(bucket, Option<TimestampWithTimeZone>),
        name!(expected, Option<JsonB>),
        name!(stored, Option<JsonB>),
    ),
> {
    require_schema();
    if !(1..=MOST_SAMPLED).contains(&sample) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("sample \"{sample}\" is not allowed: it lies outside 1 to {MOST_SAMPLED}"),
            "Leave it out: 1,000 rows of each table take about a second.",
        )
    }
    let differences = as_refresher(|| {
        wait_for_lock();
        let times = floors();
        let mut found = Vec::new();
        for rollup in ROLLUPS {
            let keys = sampled(rollup, sample);
            for level in rollup.levels().skip(rollup.minutes.iter().count()) {
                let arguments: [DatumWithOid; 5] = [
                    keys.0.clone().into(),
                    keys.1.clone().into(),
                    keys.2.clone().into(),
                    vec![rollup.sources(); keys.2.len()].into(),
                    times.map(to_time).to_vec().into(),
                ];
                let look = |row: &Row| {
                    (
                        level.table.to_owned(),
                        row.get(1),
                        row.get(2),
                        row.get(3),
                        row.get(4),
                        row.get(5),
                    )
                };
                found.extend(change_rows(&rollup.differences(level), &arguments, look));
            }
        }
        found
    });
    TableIterator::new(differences)
}

type Sample = (
    Vec<pgrx::Uuid>,
    Vec<Option<pgrx::Uuid>>,
    Vec<TimestampWithTimeZone>,
);

/// Some hours of agents or users that a rollup or its raw rows have, and that nothing has changed since the last refresh.
fn sampled(rollup: &Rollup, sample: i32) -> Sample {
    let mut found: Sample = Default::default();
    change_rows(&rollup.sample(), &[sample.into()], |row| {
        if let (Some(workspace), Some(bucket)) = (row.get(1), row.get(3)) {
            found.0.push(workspace);
            found.1.push(row.get(2));
            found.2.push(bucket);
        }
    });
    found
}
