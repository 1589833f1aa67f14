//! Pending work: hours taken from the change log, and put back into it if their rollup fails.

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::prelude::*;

use super::declarations::{ALL_SOURCES, DAY, HOUR, Level, MINUTES_KEPT, ROLLUPS, Rollup, Sources};
use super::floors::Floors;
use super::partitions::observe;
use super::statements::days_of;
use super::time::{MINUS_INFINITY, ceiling, floor, statement_start, to_microseconds, to_time};
use crate::query::{
    change, change_kept, change_one_kept, change_rows, change_rows_kept, change_rows_named,
};

/// Rows of the log looked at for each bucket of the batch: writers leave one for each transaction and bucket.
const CHANGES_PER_BUCKET: i64 = 20;

/// From so many changes on it is asked whether days should be computed whole: a question that costs a look at all.
const MANY_CHANGES: i64 = 20_000;
/// A day of which fewer hours of agents have changed is not worth it.
const HOURS_OF_A_WHOLE_DAY: i64 = 1_000;
/// One hour of an agent that is looked up costs as much as so many runs of a day that is computed whole.
const RUNS_PER_HOUR: i64 = 20;

/// What a batch is about.
pub enum Work {
    Keys(Keys),
    /// Whole days of all workspaces.
    Range(Range),
    /// A workspace was deleted.
    Gone(pgrx::Uuid),
}

/// Hours of agents and users, and in which sources they have changed.
pub struct Keys {
    workspaces: Vec<pgrx::Uuid>,
    entities: Vec<Option<pgrx::Uuid>>,
    hours: Vec<TimestampWithTimeZone>,
    sources: Vec<i32>,
}

pub struct Range {
    sources: Sources,
    lower: i64,
    upper: i64,
}

/// What was done to the table of one level.
#[derive(Default)]
pub struct Counts {
    pub buckets: i64,
    pub read: i64,
    pub written: i64,
    pub removed: i64,
}

/// Partitions that came, went or were emptied: their range goes to the log, and the catalogue's state is noted, so
/// that whatever happens to them meanwhile is found by the next refresh.
pub fn log_changed_partitions() {
    let observed = observe(ALL_SOURCES);
    if observed.is_recorded() {
        return;
    }
    change(
        "WITH now AS MATERIALIZED (
             SELECT p.* FROM analytics_internal.source_partitions() AS p
         ), gone AS (
             DELETE FROM analytics_internal.rollup_partitions AS p
             WHERE NOT EXISTS (SELECT FROM now AS n WHERE n.partition = p.partition)
         )
         INSERT INTO analytics_internal.rollup_partitions (partition, storage, attached, lower, upper, table_name)
         SELECT n.partition, n.storage, n.attached, n.lower, n.upper, n.table_name FROM now AS n
         ON CONFLICT (partition) DO UPDATE
         SET storage = excluded.storage, attached = excluded.attached, lower = excluded.lower, upper = excluded.upper,
             table_name = excluded.table_name",
        &[],
    );
    for (sources, lower, upper) in observed.changed() {
        let range = Range {
            sources,
            lower,
            upper,
        };
        log_range(&range, None);
    }
}

/// Everything of one rollup in a range of time.
pub fn log_everything_of(rollup: &Rollup, lower: i64, upper: i64) {
    let range = Range {
        sources: rollup.sources(),
        lower,
        upper,
    };
    log_range(&range, Some(rollup));
}

fn log_range(range: &Range, only: Option<&Rollup>) {
    change_kept(
        "INSERT INTO analytics_internal.rollup_changes (sources, bucket, until, rollup) VALUES ($1, $2, $3, $4)",
        &[
            range.sources.into(),
            to_time(floor(range.lower, DAY)).into(),
            to_time(ceiling(range.upper, DAY)).into(),
            only.map(|rollup| rollup.name).into(),
        ],
    );
}

/// Takes work from the log: that of all rollups, or what one of them has to do alone. A range comes first, because the
/// buckets that changed in it need not be looked at again.
pub fn take(only: Option<&Rollup>, max_buckets: i32) -> Option<Work> {
    let name = only.map(|rollup| rollup.name);
    loop {
        match take_range(name) {
            Some(Work::Range(range)) if range.upper.saturating_sub(range.lower) > DAY => {
                split(&range, only);
            }
            Some(work) => return Some(work),
            None if only.is_none() && gather_days() > 0 => {}
            None => return take_keys(name, max_buckets).map(Work::Keys),
        }
    }
}

/// After a bulk load the log may hold more hours than days hold runs. Days of which so much has changed that computing
/// them whole costs less become ranges. Returns how many.
fn gather_days() -> i64 {
    let many: Option<bool> = change_one_kept(
        "SELECT count(*) = $1 FROM (SELECT FROM analytics_internal.rollup_changes AS c
                                    WHERE c.until IS NULL AND c.rollup IS NULL LIMIT $1) AS c",
        &[MANY_CHANGES.into()],
    );
    if many != Some(true) {
        return 0;
    }
    let gathered = change_one_kept(
        "WITH days AS MATERIALIZED (
             SELECT pg_catalog.date_bin(interval '24 hours', c.bucket, 'epoch') AS day, pg_catalog.bit_or(c.sources) AS sources,
                    count(DISTINCT pg_catalog.hash_record_extended((c.workspace_id, c.entity_id, c.bucket), 0)) AS hours
             FROM analytics_internal.rollup_changes AS c WHERE c.until IS NULL AND c.rollup IS NULL
             GROUP BY 1
         ), whole AS MATERIALIZED (
             SELECT d.* FROM days AS d
             WHERE d.hours >= $1 AND d.hours * $2
                   >= (SELECT coalesce(sum(m.total_runs), 0) FROM analytics.execution_metrics_daily AS m WHERE m.bucket = d.day)
         ), removed AS (
             DELETE FROM analytics_internal.rollup_changes AS c USING whole AS w
             WHERE c.until IS NULL AND c.rollup IS NULL AND c.bucket >= w.day AND c.bucket < w.day + interval '24 hours'
         ), added AS (
             INSERT INTO analytics_internal.rollup_changes (sources, bucket, until)
             SELECT w.sources, w.day, w.day + interval '24 hours' FROM whole AS w RETURNING 1
         )
         SELECT count(*) FROM added",
        &[HOURS_OF_A_WHOLE_DAY.into(), RUNS_PER_HOUR.into()],
    );
    gathered.unwrap_or(0)
}

fn take_range(only: Option<&str>) -> Option<Work> {
    // The latest first: recent days are asked for most. What is there twice is done once.
    let sql = "DELETE FROM analytics_internal.rollup_changes AS c
               USING (SELECT d.* FROM analytics_internal.rollup_changes AS d
                      WHERE d.until IS NOT NULL AND d.rollup IS NOT DISTINCT FROM $1
                      ORDER BY d.until DESC, d.bucket DESC LIMIT 1) AS d
               WHERE c.until = d.until AND c.bucket = d.bucket AND c.sources = d.sources
                 AND c.workspace_id IS NOT DISTINCT FROM d.workspace_id AND c.rollup IS NOT DISTINCT FROM d.rollup
               RETURNING c.sources, c.workspace_id, c.bucket, c.until";
    let taken = change_rows_kept(sql, &[only.into()], |row| {
        // Should a workspace of the same id be there again, the log has the hours of its rows, too.
        if let Some(workspace) = row.get(2) {
            return Some(Work::Gone(workspace));
        }
        Some(Work::Range(Range {
            sources: row.get(1)?,
            lower: to_microseconds(row.get(3)?),
            upper: to_microseconds(row.get(4)?),
        }))
    });
    taken.into_iter().next().flatten()
}

/// A long range becomes one for each day that holds anything, before or after.
fn split(range: &Range, only: Option<&Rollup>) {
    let concerned: Vec<&Rollup> = ROLLUPS
        .iter()
        .filter(|rollup| {
            only.is_none_or(|only| only.name == rollup.name)
                && rollup.sources() & range.sources != 0
        })
        .collect();
    let days = days_of(range.sources, &concerned);
    change(
        &format!(
            "INSERT INTO analytics_internal.rollup_changes (sources, bucket, until, rollup)
             SELECT $3, d.day, d.day + interval '24 hours', $4 FROM ({days}) AS d"
        ),
        &[
            to_time(range.lower).into(),
            to_time(range.upper).into(),
            range.sources.into(),
            only.map(|rollup| rollup.name).into(),
        ],
    );
}

/// Removes the changes of at most so many buckets from the log, oldest first as they lie there.
fn take_keys(only: Option<&str>, max_buckets: i32) -> Option<Keys> {
    let sql = "WITH head AS MATERIALIZED (
                   SELECT c.ctid AS place, c.* FROM analytics_internal.rollup_changes AS c
                   WHERE c.until IS NULL AND c.rollup IS NOT DISTINCT FROM $3 LIMIT $1
               ), numbered AS MATERIALIZED (
                   SELECT h.*, pg_catalog.dense_rank() OVER (ORDER BY h.workspace_id, h.entity_id, h.bucket) AS number
                   FROM head AS h
               ), removed AS (
                   DELETE FROM analytics_internal.rollup_changes
                   WHERE ctid = ANY (ARRAY(SELECT n.place FROM numbered AS n WHERE n.number <= $2))
               ), taken AS (
                   SELECT n.workspace_id, n.entity_id, n.bucket, pg_catalog.bit_or(n.sources) AS sources
                   FROM numbered AS n WHERE n.number <= $2
                   GROUP BY n.workspace_id, n.entity_id, n.bucket
               )
               SELECT pg_catalog.array_agg(t.workspace_id), pg_catalog.array_agg(t.entity_id),
                      pg_catalog.array_agg(t.bucket), pg_catalog.array_agg(t.sources)
               FROM taken AS t";
    let most = i64::from(max_buckets);
    let arguments = [(most * CHANGES_PER_BUCKET).into(), most.into(), only.into()];
    let taken = change_rows_kept(sql, &arguments, |row| {
        Some(Keys {
            workspaces: row.get(1)?,
            entities: row.get(2)?,
            hours: row.get(3)?,
            sources: row.get(4)?,
        })
    });
    taken.into_iter().next().flatten()
}

/// Work that failed, for this rollup alone.
pub fn put_back(rollup: &Rollup, work: &Work) {
    match work {
        Work::Keys(keys) => {
            let [workspaces, entities, hours, sources] = keys.arguments();
            change_kept(
                "INSERT INTO analytics_internal.rollup_changes (sources, workspace_id, entity_id, bucket, rollup)
                 SELECT k.sources, k.workspace_id, k.entity_id, k.bucket, $5
                 FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::integer[])
                      AS k (workspace_id, entity_id, bucket, sources)
                 WHERE k.sources & $6 <> 0",
                &[
                    workspaces,
                    entities,
                    hours,
                    sources,
                    rollup.name.into(),
                    rollup.sources().into(),
                ],
            );
        }
        Work::Range(range) => log_range(range, Some(rollup)),
        Work::Gone(workspace) => change_kept(
            "INSERT INTO analytics_internal.rollup_changes (sources, workspace_id, bucket, until, rollup)
             VALUES ($1, $2, '-infinity', 'infinity', $3)",
            &[
                rollup.sources().into(),
                (*workspace).into(),
                rollup.name.into(),
            ],
        ),
    }
}

impl Keys {
    /// As the statements take them.
    fn arguments<'a>(&self) -> [DatumWithOid<'a>; 4] {
        [
            self.workspaces.clone().into(),
            self.entities.clone().into(),
            self.hours.clone().into(),
            self.sources.clone().into(),
        ]
    }
}

impl Work {
    pub fn concerns(&self, rollup: &Rollup) -> bool {
        match self {
            Self::Keys(keys) => keys.sources.iter().any(|each| each & rollup.sources() != 0),
            Self::Range(range) => range.sources & rollup.sources() != 0,
            Self::Gone(_) => true,
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Keys(keys) => format!("{} hours of agents", keys.hours.len()),
            Self::Range(range) => format!("the day of {}", to_time(range.lower).to_iso_string()),
            Self::Gone(workspace) => format!("removal of workspace {workspace}"),
        }
    }

    /// Does it to one table of a rollup.
    pub fn compute(&self, rollup: &Rollup, level: Level, floors: &Floors) -> Counts {
        let has_floors = floors.iter().any(|floor| *floor != MINUS_INFINITY);
        let floors: Vec<TimestampWithTimeZone> = floors.iter().map(|time| to_time(*time)).collect();
        // An hour more than reads take for granted: one may have begun before this.
        let first_minute = floor(statement_start(), HOUR).saturating_sub(MINUTES_KEPT + HOUR);
        let look = |row: &crate::query::Row| Counts {
            buckets: row.get(1).unwrap_or(0),
            read: row.get(2).unwrap_or(0),
            written: row.get(3).unwrap_or(0),
            removed: row.get(4).unwrap_or(0),
        };
        let counts = match self {
            // Looked up by index, however many they are: one plan fits all.
            Self::Keys(keys) => {
                let [workspaces, entities, hours, sources] = keys.arguments();
                change_rows_named(
                    &format!("refresh {} {has_floors}", level.table),
                    || rollup.refresh_keys(level, has_floors),
                    &[
                        workspaces,
                        entities,
                        hours,
                        sources,
                        floors.into(),
                        to_time(first_minute).into(),
                    ],
                    look,
                )
            }
            Self::Range(range) => change_rows(
                &rollup.refresh_range(level, has_floors),
                &[
                    to_time(range.lower).into(),
                    to_time(range.upper).into(),
                    workspaces().into(),
                    floors.into(),
                    to_time(first_minute).into(),
                ],
                look,
            ),
            Self::Gone(workspace) => change_rows(
                &format!(
                    "WITH removed AS (
                         DELETE FROM analytics.{} AS t WHERE t.workspace_id = $1 RETURNING 1
                     )
                     SELECT 0::bigint, 0::bigint, 0::bigint, (SELECT count(*) FROM removed)",
                    level.table
                ),
                &[(*workspace).into()],
                look,
            ),
        };
        counts.into_iter().next().unwrap_or_default()
    }
}

fn workspaces() -> Vec<pgrx::Uuid> {
    let sql = "SELECT w.workspace_id FROM analytics.workspaces AS w";
    let rows = change_rows_kept(sql, &[], |row| row.get(1));
    rows.into_iter().flatten().collect()
}
