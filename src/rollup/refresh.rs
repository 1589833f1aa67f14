//! `refresh()`: computes anew the buckets that changed, a bounded batch at a time.
//!
//! A batch is one transaction: hours are taken from the log, and computed by a later statement, whose snapshot sees at
//! least the rows whose changes were taken. What is committed in between is in the log still, and is computed again.

use std::time::Instant;

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;

use super::capture::{Sources, write_to_log};
use super::declarations::{ROLLUPS, RUNS};
use super::owner;
use super::read::changed_ranges;
use super::statements::all_buckets;
use super::time::{INFINITY, MINUS_INFINITY, to_time};
use crate::errors::raise;
use crate::roles::{as_role, with_setting};
use crate::setup::require_schema;

/// Rows of the log looked at for each bucket of the batch: writers leave one for each transaction and bucket.
const CHANGES_PER_BUCKET: i64 = 20;
const MOST_BUCKETS: i32 = 1_000_000;

/// What was done to one rollup.
struct Outcome {
    object: &'static str,
    status: &'static str,
    buckets: i64,
    written: i64,
    removed: i64,
    seconds: f64,
}

impl Outcome {
    fn nothing(object: &'static str, status: &'static str) -> Self {
        Self {
            object,
            status,
            buckets: 0,
            written: 0,
            removed: 0,
            seconds: 0.0,
        }
    }
}

/// Columns of the buckets of a batch.
struct Batch {
    workspaces: Vec<pgrx::Uuid>,
    agents: Vec<pgrx::Uuid>,
    hours: Vec<TimestampWithTimeZone>,
    sources: Vec<i32>,
}

#[pg_extern]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn refresh(
    max_buckets: default!(i32, 5000),
) -> TableIterator<
    'static,
    (
        name!(object, String),
        name!(status, String),
        name!(bucket_count, i64),
        name!(written_count, i64),
        name!(removed_count, i64),
        name!(duration_seconds, f64),
    ),
> {
    if !(1..=MOST_BUCKETS).contains(&max_buckets) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!(
                "max_buckets \"{max_buckets}\" is not allowed: it lies outside 1 to {MOST_BUCKETS}"
            ),
            "Leave it out: 5000 buckets take about a second.",
        )
    }
    require_schema();
    let outcomes = as_role(owner(), || {
        // Compiling takes longer than what is compiled.
        with_setting(c"jit", c"off", || {
            Spi::connect_mut(|client| refresh_batch(client, max_buckets))
        })
    });
    TableIterator::new(outcomes.into_iter().map(|outcome| {
        (
            outcome.object.to_owned(),
            outcome.status.to_owned(),
            outcome.buckets,
            outcome.written,
            outcome.removed,
            outcome.seconds,
        )
    }))
}

fn refresh_batch(client: &mut SpiClient, max_buckets: i32) -> Vec<Outcome> {
    let tables = || {
        ROLLUPS
            .iter()
            .flat_map(|rollup| [rollup.hourly, rollup.daily])
    };
    if !try_lock(client) {
        return tables()
            .map(|table| Outcome::nothing(table, "locked"))
            .collect();
    }
    write_to_log();
    log_changed_partitions(client);
    log_everything(client);
    let Some(batch) = take_batch(client, max_buckets) else {
        return tables()
            .map(|table| Outcome::nothing(table, "clean"))
            .collect();
    };
    let mut outcomes = Vec::new();
    for rollup in ROLLUPS {
        outcomes.push(compute(
            client,
            rollup.hourly,
            &rollup.refresh_hours(),
            &batch,
        ));
        outcomes.push(compute(
            client,
            rollup.daily,
            &rollup.refresh_days(),
            &batch,
        ));
    }
    write_log(client, &outcomes);
    outcomes
}

/// One refresher at a time, to the end of its transaction: no state of the session, so that a pooler does no harm.
fn try_lock(client: &mut SpiClient) -> bool {
    let sql = "SELECT pg_catalog.pg_try_advisory_xact_lock(\
               pg_catalog.hashtextextended('shadower_analytics refresh', 0))";
    let locked: Option<bool> = run(client, sql, &[]).first().get_one().unwrap_or_report();
    locked == Some(true)
}

/// Partitions that came, went or were emptied: their hours go to the log, and the catalogue's state is noted first,
/// so that whatever happens to them meanwhile is found by the next refresh.
fn log_changed_partitions(client: &mut SpiClient) {
    let ranges = changed_ranges();
    if ranges.is_empty() {
        return;
    }
    run(
        client,
        "WITH now AS MATERIALIZED (
             SELECT p.* FROM analytics_internal.run_partitions() AS p
         ), gone AS (
             DELETE FROM analytics_internal.rollup_partitions AS p
             WHERE NOT EXISTS (SELECT FROM now AS n WHERE n.partition = p.partition)
         )
         INSERT INTO analytics_internal.rollup_partitions (partition, storage, lower, upper)
         SELECT n.partition, n.storage, n.lower, n.upper FROM now AS n
         ON CONFLICT (partition) DO UPDATE
         SET storage = excluded.storage, lower = excluded.lower, upper = excluded.upper",
        &[],
    );
    for (lower, upper) in ranges {
        log_range(client, RUNS.bit, lower, upper);
    }
}

/// A row of the log that stands for everything becomes one for each bucket.
fn log_everything(client: &mut SpiClient) {
    let sql = "WITH taken AS (
                   DELETE FROM analytics_internal.rollup_changes AS c WHERE c.workspace_id IS NULL RETURNING c.sources
               )
               SELECT pg_catalog.bit_or(t.sources) FROM taken AS t";
    let sources: Option<i32> = run(client, sql, &[]).first().get_one().unwrap_or_report();
    if let Some(sources) = sources {
        log_range(client, sources, MINUS_INFINITY, INFINITY);
    }
}

fn log_range(client: &mut SpiClient, sources: Sources, lower: i64, upper: i64) {
    let buckets = all_buckets(sources, ROLLUPS, "");
    run(
        client,
        &format!(
            "INSERT INTO analytics_internal.rollup_changes (sources, workspace_id, agent_id, bucket)
             SELECT {sources}, b.workspace_id, b.agent_id, b.bucket FROM ({buckets}) AS b"
        ),
        &[to_time(lower).into(), to_time(upper).into()],
    );
}

/// Removes the changes of at most so many buckets from the log, oldest first as they lie there.
fn take_batch(client: &mut SpiClient, max_buckets: i32) -> Option<Batch> {
    let sql = "WITH head AS MATERIALIZED (
                   SELECT c.ctid AS place, c.* FROM analytics_internal.rollup_changes AS c LIMIT $1
               ), numbered AS MATERIALIZED (
                   SELECT h.*, pg_catalog.dense_rank() OVER (ORDER BY h.workspace_id, h.agent_id, h.bucket) AS number
                   FROM head AS h
               ), removed AS (
                   DELETE FROM analytics_internal.rollup_changes
                   WHERE ctid = ANY (ARRAY(SELECT n.place FROM numbered AS n WHERE n.number <= $2))
               ), taken AS (
                   SELECT n.workspace_id, n.agent_id, n.bucket, pg_catalog.bit_or(n.sources) AS sources
                   FROM numbered AS n WHERE n.number <= $2 AND n.workspace_id IS NOT NULL
                   GROUP BY n.workspace_id, n.agent_id, n.bucket
               )
               SELECT pg_catalog.array_agg(t.workspace_id), pg_catalog.array_agg(t.agent_id),
                      pg_catalog.array_agg(t.bucket), pg_catalog.array_agg(t.sources)
               FROM taken AS t";
    let most = i64::from(max_buckets);
    let row = run(
        client,
        sql,
        &[(most * CHANGES_PER_BUCKET).into(), most.into()],
    );
    let row = row.first();
    let batch = Batch {
        workspaces: row.get(1).unwrap_or_report()?,
        agents: row.get(2).unwrap_or_report()?,
        hours: row.get(3).unwrap_or_report()?,
        sources: row.get(4).unwrap_or_report()?,
    };
    Some(batch)
}

fn compute(client: &mut SpiClient, table: &'static str, statement: &str, batch: &Batch) -> Outcome {
    let started = Instant::now();
    let row = run(
        client,
        statement,
        &[
            batch.workspaces.clone().into(),
            batch.agents.clone().into(),
            batch.hours.clone().into(),
            batch.sources.clone().into(),
        ],
    );
    let row = row.first();
    let count = |column| row.get::<i64>(column).unwrap_or_report().unwrap_or(0);
    Outcome {
        object: table,
        status: "refreshed",
        buckets: count(1),
        written: count(2),
        removed: count(3),
        seconds: started.elapsed().as_secs_f64(),
    }
}

fn write_log(client: &mut SpiClient, outcomes: &[Outcome]) {
    let refresh_id: Option<pgrx::Uuid> = run(client, "SELECT pg_catalog.gen_random_uuid()", &[])
        .first()
        .get_one()
        .unwrap_or_report();
    for outcome in outcomes.iter().filter(|outcome| outcome.buckets > 0) {
        run(
            client,
            "INSERT INTO analytics_internal.refresh_log
                 (refresh_id, object, status, started_at, duration_seconds, bucket_count, written_count, removed_count)
             VALUES ($1, $2, $3, pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $4), $4, $5, $6, $7)",
            &[
                refresh_id.into(),
                outcome.object.into(),
                outcome.status.into(),
                outcome.seconds.into(),
                outcome.buckets.into(),
                outcome.written.into(),
                outcome.removed.into(),
            ],
        );
    }
}

fn run<'c>(
    client: &'c mut SpiClient,
    sql: &str,
    arguments: &[DatumWithOid],
) -> spi::SpiTupleTable<'c> {
    client.update(sql, None, arguments).unwrap_or_report()
}
