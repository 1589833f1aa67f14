//! Computing a rollup anew although nothing says that it has changed, and finding out whether it is right.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;
use pgrx::{JsonB, datum::DatumWithOid};

use super::capture::write_to_log;
use super::declarations::{ROLLUPS, Rollup};
use super::floors::floors;
use super::refresh::{as_refresher, log_everything_of, refresh_alone, run, wait_for_lock};
use super::time::{to_microseconds, to_time};
use crate::errors::raise;
use crate::setup::require_schema;

const MOST_SAMPLED: i32 = 1_000_000;

#[pg_extern]
fn rebuild_rollup(
    rollup: &str,
    from_time: default!(TimestampWithTimeZone, "'-infinity'"),
    to_time: default!(TimestampWithTimeZone, "'infinity'"),
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
    as_refresher(|client| {
        wait_for_lock(client);
        write_to_log();
        log_everything_of(
            client,
            rollup,
            to_microseconds(from_time),
            to_microseconds(to_time),
        );
        refresh_alone(client, rollup)
    })
}

#[pg_extern]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn verify_rollups(
    sample: default!(i32, 1000),
) -> TableIterator<
    'static,
    (
        name!(object, String),
        name!(workspace_id, Option<pgrx::Uuid>),
        name!(agent_id, Option<pgrx::Uuid>),
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
    let differences = as_refresher(|client| {
        wait_for_lock(client);
        let times = floors();
        let mut found = Vec::new();
        for rollup in ROLLUPS {
            let keys = sampled(client, rollup, sample);
            for level in rollup.levels().skip(rollup.minutes.iter().count()) {
                let arguments: [DatumWithOid; 5] = [
                    keys.0.clone().into(),
                    keys.1.clone().into(),
                    keys.2.clone().into(),
                    vec![rollup.sources(); keys.2.len()].into(),
                    times.map(to_time).to_vec().into(),
                ];
                let rows = run(client, &rollup.differences(level), &arguments);
                found.extend(rows.map(|row| {
                    (
                        level.table.to_owned(),
                        row.get(1).unwrap_or_report(),
                        row.get(2).unwrap_or_report(),
                        row.get(3).unwrap_or_report(),
                        row.get(4).unwrap_or_report(),
                        row.get(5).unwrap_or_report(),
                    )
                }));
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

/// Some hours of agents that a rollup or its raw rows have, and that nothing has changed since the last refresh.
fn sampled(client: &mut SpiClient, rollup: &Rollup, sample: i32) -> Sample {
    let rows = run(client, &rollup.sample(), &[sample.into()]);
    let mut found: Sample = Default::default();
    for row in rows {
        let workspace = row.get::<pgrx::Uuid>(1).unwrap_or_report();
        let bucket = row.get::<TimestampWithTimeZone>(3).unwrap_or_report();
        if let (Some(workspace), Some(bucket)) = (workspace, bucket) {
            found.0.push(workspace);
            found.1.push(row.get::<pgrx::Uuid>(2).unwrap_or_report());
            found.2.push(bucket);
        }
    }
    found
}
