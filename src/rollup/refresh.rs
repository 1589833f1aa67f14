//! `refresh()`: computes anew the buckets that changed, a bounded batch at a time.
//!
//! A batch is one transaction: changes are taken from the log, and computed by later statements, whose snapshots see at
//! least the rows whose changes were taken. What is committed in between is in the log still, and is computed again. A
//! rollup that fails gets its part of the batch back into the log under its own name, and the others go on.

use std::time::Instant;

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;

use super::capture::{Sources, write_to_log};
use super::declarations::{Level, MINUTES_KEPT, MINUTES_SLACK, ROLLUPS, RUNS, Rollup};
use super::floors::{Floors, floors};
use super::owner;
use super::partitions::changed_ranges;
use super::statements::days_of;
use super::time::{DAY, HOUR, ceiling, floor, statement_start, to_microseconds, to_time};
use crate::errors::raise;
use crate::roles::{as_role, with_setting};
use crate::setup::require_schema;
use crate::subtransaction::{Failure, attempt};

/// Rows of the log looked at for each bucket of the batch: writers leave one for each transaction and bucket.
const CHANGES_PER_BUCKET: i64 = 20;
const MOST_BUCKETS: i32 = 1_000_000;

/// What was done to one table of a rollup.
pub struct Outcome {
    pub object: String,
    pub status: &'static str,
    pub buckets: i64,
    pub read: i64,
    pub written: i64,
    pub removed: i64,
    pub seconds: f64,
    pub attempt: i32,
    pub failure: Option<Failure>,
}

impl Outcome {
    fn nothing(object: &str, status: &'static str) -> Self {
        Self {
            object: object.to_owned(),
            status,
            buckets: 0,
            read: 0,
            written: 0,
            removed: 0,
            seconds: 0.0,
            attempt: 1,
            failure: None,
        }
    }
}

/// What a batch is about.
enum Work {
    Keys(Keys),
    /// Whole days of all workspaces.
    Range(Range),
    /// A workspace was deleted.
    Gone(pgrx::Uuid),
}

struct Keys {
    workspaces: Vec<pgrx::Uuid>,
    agents: Vec<pgrx::Uuid>,
    hours: Vec<TimestampWithTimeZone>,
    sources: Vec<i32>,
}

struct Range {
    sources: Sources,
    lower: i64,
    upper: i64,
}

#[pg_extern]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn refresh(
    max_buckets: default!(i32, 5000),
    triggered_by: default!(&str, "'manual'"),
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
    let outcomes = as_refresher(|client| refresh_batch(client, max_buckets, triggered_by));
    TableIterator::new(outcomes.into_iter().map(|outcome| {
        let (code, message) = match outcome.failure {
            Some(failure) => (Some(failure.code), Some(failure.message)),
            None => (None, None),
        };
        (
            outcome.object,
            outcome.status.to_owned(),
            outcome.buckets,
            outcome.read,
            outcome.written,
            outcome.removed,
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
pub fn as_refresher<T>(action: impl FnOnce(&mut SpiClient) -> T) -> T {
    as_role(owner(), || {
        with_setting(c"jit", c"off", || Spi::connect_mut(action))
    })
}

fn tables() -> impl Iterator<Item = &'static str> {
    ROLLUPS
        .iter()
        .flat_map(|rollup| rollup.levels().map(|level| level.table))
}

fn refresh_batch(client: &mut SpiClient, max_buckets: i32, triggered_by: &str) -> Vec<Outcome> {
    if !try_lock(client) {
        return tables()
            .map(|table| Outcome::nothing(table, "locked"))
            .collect();
    }
    write_to_log();
    log_changed_partitions(client);
    let mut outcomes = Vec::new();
    let mut is_idle = true;
    if let Some(work) = take(client, None, max_buckets) {
        is_idle = false;
        for rollup in ROLLUPS {
            if work.concerns(rollup) && is_waiting(client, rollup) {
                put_back(client, rollup, &work);
                outcomes.push(Outcome::nothing(rollup.base.table, "waiting"));
            } else {
                compute(client, rollup, &work, &mut outcomes);
            }
        }
    }
    // What failed before is tried again when its time has come.
    for name in due(client) {
        if let Some(rollup) = ROLLUPS.iter().find(|rollup| rollup.name == name)
            && let Some(work) = take(client, Some(rollup), max_buckets)
        {
            is_idle = false;
            compute(client, rollup, &work, &mut outcomes);
        }
    }
    trim_minutes(client);
    write_log(client, &outcomes, triggered_by);
    if is_idle {
        return tables()
            .map(|table| Outcome::nothing(table, "clean"))
            .collect();
    }
    outcomes
}

/// One refresher at a time, to the end of its transaction: no state of the session, so that a pooler does no harm.
fn try_lock(client: &mut SpiClient) -> bool {
    let sql = "SELECT pg_catalog.pg_try_advisory_xact_lock(analytics_internal.refresh_lock())";
    let locked: Option<bool> = run(client, sql, &[]).first().get_one().unwrap_or_report();
    locked == Some(true)
}

/// Waits until no other session refreshes.
pub fn wait_for_lock(client: &mut SpiClient) {
    run(
        client,
        "SELECT pg_catalog.pg_advisory_xact_lock(analytics_internal.refresh_lock())",
        &[],
    );
}

/// Partitions that came, went or were emptied: their range goes to the log, and the catalogue's state is noted, so
/// that whatever happens to them meanwhile is found by the next refresh.
fn log_changed_partitions(client: &mut SpiClient) {
    let ranges = changed_ranges();
    let known = "SELECT EXISTS (SELECT FROM analytics_internal.run_partitions() AS n
                 WHERE n NOT IN (SELECT p FROM analytics_internal.rollup_partitions AS p))";
    let is_new: Option<bool> = run(client, known, &[]).first().get_one().unwrap_or_report();
    if ranges.is_empty() && is_new != Some(true) {
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
         INSERT INTO analytics_internal.rollup_partitions (partition, storage, attached, lower, upper)
         SELECT n.partition, n.storage, n.attached, n.lower, n.upper FROM now AS n
         ON CONFLICT (partition) DO UPDATE
         SET storage = excluded.storage, attached = excluded.attached, lower = excluded.lower, upper = excluded.upper",
        &[],
    );
    for (lower, upper) in ranges {
        log_range(
            client,
            &Range {
                sources: RUNS.bit,
                lower,
                upper,
            },
            None,
        );
    }
}

pub fn log_everything_of(client: &mut SpiClient, rollup: &Rollup, lower: i64, upper: i64) {
    let range = Range {
        sources: rollup.sources(),
        lower,
        upper,
    };
    log_range(client, &range, Some(rollup));
}

fn log_range(client: &mut SpiClient, range: &Range, only: Option<&Rollup>) {
    run(
        client,
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
fn take(client: &mut SpiClient, only: Option<&Rollup>, max_buckets: i32) -> Option<Work> {
    let name = only.map(|rollup| rollup.name);
    loop {
        match take_range(client, name) {
            Some(Work::Range(range)) if range.upper.saturating_sub(range.lower) > DAY => {
                split(client, &range, only);
            }
            Some(work) => return Some(work),
            None => return take_keys(client, name, max_buckets).map(Work::Keys),
        }
    }
}

fn take_range(client: &mut SpiClient, only: Option<&str>) -> Option<Work> {
    // The latest first: recent days are asked for most.
    let sql = "DELETE FROM analytics_internal.rollup_changes AS c
               WHERE c.ctid = (SELECT d.ctid FROM analytics_internal.rollup_changes AS d
                               WHERE d.until IS NOT NULL AND d.rollup IS NOT DISTINCT FROM $1
                               ORDER BY d.until DESC, d.bucket DESC LIMIT 1)
               RETURNING c.sources, c.workspace_id, c.bucket, c.until";
    let row = run(client, sql, &[only.into()]);
    if row.is_empty() {
        return None;
    }
    let row = row.first();
    let time = |column| row.get::<TimestampWithTimeZone>(column).unwrap_or_report();
    // Should a workspace of the same id be there again, the log has the hours of its rows, too.
    if let Some(workspace) = row.get(2).unwrap_or_report() {
        return Some(Work::Gone(workspace));
    }
    Some(Work::Range(Range {
        sources: row.get(1).unwrap_or_report()?,
        lower: to_microseconds(time(3)?),
        upper: to_microseconds(time(4)?),
    }))
}

/// A long range becomes one for each day that holds anything, before or after.
fn split(client: &mut SpiClient, range: &Range, only: Option<&Rollup>) {
    let concerned: Vec<&Rollup> = ROLLUPS
        .iter()
        .filter(|rollup| {
            only.is_none_or(|only| only.name == rollup.name)
                && rollup.sources() & range.sources != 0
        })
        .collect();
    let days = days_of(range.sources, &concerned);
    run(
        client,
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
fn take_keys(client: &mut SpiClient, only: Option<&str>, max_buckets: i32) -> Option<Keys> {
    let sql = "WITH head AS MATERIALIZED (
                   SELECT c.ctid AS place, c.* FROM analytics_internal.rollup_changes AS c
                   WHERE c.until IS NULL AND c.rollup IS NOT DISTINCT FROM $3 LIMIT $1
               ), numbered AS MATERIALIZED (
                   SELECT h.*, pg_catalog.dense_rank() OVER (ORDER BY h.workspace_id, h.agent_id, h.bucket) AS number
                   FROM head AS h
               ), removed AS (
                   DELETE FROM analytics_internal.rollup_changes
                   WHERE ctid = ANY (ARRAY(SELECT n.place FROM numbered AS n WHERE n.number <= $2))
               ), taken AS (
                   SELECT n.workspace_id, n.agent_id, n.bucket, pg_catalog.bit_or(n.sources) AS sources
                   FROM numbered AS n WHERE n.number <= $2
                   GROUP BY n.workspace_id, n.agent_id, n.bucket
               )
               SELECT pg_catalog.array_agg(t.workspace_id), pg_catalog.array_agg(t.agent_id),
                      pg_catalog.array_agg(t.bucket), pg_catalog.array_agg(t.sources)
               FROM taken AS t";
    let most = i64::from(max_buckets);
    let row = run(
        client,
        sql,
        &[(most * CHANGES_PER_BUCKET).into(), most.into(), only.into()],
    );
    let row = row.first();
    Some(Keys {
        workspaces: row.get(1).unwrap_or_report()?,
        agents: row.get(2).unwrap_or_report()?,
        hours: row.get(3).unwrap_or_report()?,
        sources: row.get(4).unwrap_or_report()?,
    })
}

/// All that one rollup has to do alone, in this transaction; an error ends it. Returns the rows written and removed.
pub fn refresh_alone(client: &mut SpiClient, rollup: &Rollup) -> i64 {
    let mut changed = 0;
    while let Some(work) = take(client, Some(rollup), MOST_BUCKETS) {
        let floors = floors();
        for outcome in compute_levels(client, rollup, &work, &floors) {
            changed += outcome.written + outcome.removed;
        }
        pgrx::check_for_interrupts!();
    }
    succeeded(client, rollup);
    changed
}

/// Rollups that have failed and whose time has come again, or that somebody wants to be repaired.
fn due(client: &mut SpiClient) -> Vec<String> {
    let sql = "SELECT DISTINCT c.rollup FROM analytics_internal.rollup_changes AS c
               LEFT JOIN analytics_internal.rollup_state AS s ON s.rollup = c.rollup
               WHERE c.rollup IS NOT NULL
                 AND (s.retry_at IS NULL OR s.retry_at <= pg_catalog.clock_timestamp())";
    run(client, sql, &[])
        .filter_map(|row| row.get::<String>(1).unwrap_or_report())
        .collect()
}

fn compute(client: &mut SpiClient, rollup: &Rollup, work: &Work, outcomes: &mut Vec<Outcome>) {
    if !work.concerns(rollup) {
        return;
    }
    announce(rollup, work);
    let started = Instant::now();
    let attempts = attempts(client, rollup);
    let floors = floors();
    match attempt(|| compute_levels(client, rollup, work, &floors)) {
        Ok(mut done) => {
            succeeded(client, rollup);
            for outcome in &mut done {
                outcome.attempt = attempts;
            }
            outcomes.append(&mut done);
        }
        Err(failure) => {
            put_back(client, rollup, work);
            failed(client, rollup, &failure);
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

fn compute_levels(
    client: &mut SpiClient,
    rollup: &Rollup,
    work: &Work,
    floors: &Floors,
) -> Vec<Outcome> {
    rollup
        .levels()
        .map(|level| {
            let started = Instant::now();
            let (statement, arguments) = work.statement(client, rollup, level, floors);
            let row = run(client, &statement, &arguments);
            let row = row.first();
            let count = |column| row.get::<i64>(column).unwrap_or_report().unwrap_or(0);
            Outcome {
                buckets: count(1),
                read: count(2),
                written: count(3),
                removed: count(4),
                seconds: started.elapsed().as_secs_f64(),
                ..Outcome::nothing(level.table, "refreshed")
            }
        })
        .collect()
}

impl Work {
    fn concerns(&self, rollup: &Rollup) -> bool {
        match self {
            Self::Keys(keys) => keys.sources.iter().any(|each| each & rollup.sources() != 0),
            Self::Range(range) => range.sources & rollup.sources() != 0,
            Self::Gone(_) => true,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Keys(keys) => format!("{} hours of agents", keys.hours.len()),
            Self::Range(range) => format!("the day of {}", to_time(range.lower).to_iso_string()),
            Self::Gone(workspace) => format!("removal of workspace {workspace}"),
        }
    }

    fn statement<'a>(
        &self,
        client: &mut SpiClient,
        rollup: &Rollup,
        level: Level,
        floors: &Floors,
    ) -> (String, Vec<DatumWithOid<'a>>) {
        let floors: Vec<TimestampWithTimeZone> = floors.iter().map(|time| to_time(*time)).collect();
        // An hour more than reads take for granted: one may have begun before this.
        let first_minute = floor(statement_start(), HOUR).saturating_sub(MINUTES_KEPT + HOUR);
        match self {
            Self::Keys(keys) => (
                rollup.refresh_keys(level),
                vec![
                    keys.workspaces.clone().into(),
                    keys.agents.clone().into(),
                    keys.hours.clone().into(),
                    keys.sources.clone().into(),
                    floors.into(),
                    to_time(first_minute).into(),
                ],
            ),
            Self::Range(range) => (
                rollup.refresh_range(level),
                vec![
                    to_time(range.lower).into(),
                    to_time(range.upper).into(),
                    workspaces(client).into(),
                    floors.into(),
                    to_time(first_minute).into(),
                ],
            ),
            Self::Gone(workspace) => (
                format!(
                    "WITH removed AS (
                         DELETE FROM analytics.{} AS t WHERE t.workspace_id = $1 RETURNING 1
                     )
                     SELECT 0::bigint, 0::bigint, 0::bigint, (SELECT count(*) FROM removed)",
                    level.table
                ),
                vec![(*workspace).into()],
            ),
        }
    }
}

fn workspaces(client: &mut SpiClient) -> Vec<pgrx::Uuid> {
    let sql = "SELECT w.workspace_id FROM analytics.workspaces AS w";
    run(client, sql, &[])
        .filter_map(|row| row.get::<pgrx::Uuid>(1).unwrap_or_report())
        .collect()
}

/// Work that failed, for this rollup alone.
fn put_back(client: &mut SpiClient, rollup: &Rollup, work: &Work) {
    match work {
        Work::Keys(keys) => {
            run(
                client,
                "INSERT INTO analytics_internal.rollup_changes (sources, workspace_id, agent_id, bucket, rollup)
                 SELECT k.sources, k.workspace_id, k.agent_id, k.bucket, $5
                 FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::integer[])
                      AS k (workspace_id, agent_id, bucket, sources)
                 WHERE k.sources & $6 <> 0",
                &[
                    keys.workspaces.clone().into(),
                    keys.agents.clone().into(),
                    keys.hours.clone().into(),
                    keys.sources.clone().into(),
                    rollup.name.into(),
                    rollup.sources().into(),
                ],
            );
        }
        Work::Range(range) => log_range(client, range, Some(rollup)),
        Work::Gone(workspace) => {
            run(
                client,
                "INSERT INTO analytics_internal.rollup_changes (sources, workspace_id, bucket, until, rollup)
                 VALUES ($1, $2, '-infinity', 'infinity', $3)",
                &[
                    rollup.sources().into(),
                    (*workspace).into(),
                    rollup.name.into(),
                ],
            );
        }
    }
}

/// After a failure, until all that was put back is done: the removal of a workspace must not come after the hours of
/// another one that has its id.
fn is_waiting(client: &mut SpiClient, rollup: &Rollup) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM analytics_internal.rollup_state AS s
                              WHERE s.rollup = $1 AND s.retry_at > pg_catalog.clock_timestamp())
                   OR EXISTS (SELECT FROM analytics_internal.rollup_changes AS c WHERE c.rollup = $1)";
    let waiting: Option<bool> = run(client, sql, &[rollup.name.into()])
        .first()
        .get_one()
        .unwrap_or_report();
    waiting == Some(true)
}

fn attempts(client: &mut SpiClient, rollup: &Rollup) -> i32 {
    let sql = "SELECT max(s.consecutive_failures) FROM analytics_internal.rollup_state AS s WHERE s.rollup = $1";
    let failures: Option<i32> = run(client, sql, &[rollup.name.into()])
        .first()
        .get_one()
        .unwrap_or_report();
    failures.unwrap_or(0).saturating_add(1)
}

fn succeeded(client: &mut SpiClient, rollup: &Rollup) {
    run(
        client,
        "INSERT INTO analytics_internal.rollup_state AS s (rollup, version, last_success_at)
         VALUES ($1, 1, pg_catalog.clock_timestamp())
         ON CONFLICT (rollup) DO UPDATE
         SET version = s.version + 1, last_success_at = excluded.last_success_at, consecutive_failures = 0,
             retry_at = NULL, error_code = NULL, error_message = NULL",
        &[rollup.name.into()],
    );
}

/// Tried again after 5 seconds, then 10, 20, ... up to ten minutes.
fn failed(client: &mut SpiClient, rollup: &Rollup, failure: &Failure) {
    run(
        client,
        "INSERT INTO analytics_internal.rollup_state AS s (rollup, consecutive_failures, retry_at, error_code, error_message)
         VALUES ($1, 1, pg_catalog.clock_timestamp() + interval '5 seconds', $2, $3)
         ON CONFLICT (rollup) DO UPDATE
         SET consecutive_failures = s.consecutive_failures + 1, error_code = excluded.error_code,
             error_message = excluded.error_message,
             retry_at = pg_catalog.clock_timestamp()
                        + least(interval '10 minutes', interval '5 seconds' * power(2, least(s.consecutive_failures, 10)))",
        &[
            rollup.name.into(),
            failure.code.as_str().into(),
            failure.message.as_str().into(),
        ],
    );
}

/// Minutes that no read asks for any more.
fn trim_minutes(client: &mut SpiClient) {
    let before = floor(statement_start(), HOUR).saturating_sub(MINUTES_KEPT + MINUTES_SLACK);
    for level in ROLLUPS.iter().filter_map(|rollup| rollup.minutes) {
        run(
            client,
            &format!(
                "DELETE FROM analytics.{} AS t WHERE t.bucket < $1",
                level.table
            ),
            &[to_time(before).into()],
        );
    }
}

fn write_log(client: &mut SpiClient, outcomes: &[Outcome], triggered_by: &str) {
    let worth_a_row = |outcome: &&Outcome| {
        outcome.failure.is_some() || outcome.buckets + outcome.written + outcome.removed > 0
    };
    let mut refresh_id = None;
    for outcome in outcomes.iter().filter(worth_a_row) {
        let id = *refresh_id.get_or_insert_with(|| new_id(client));
        let failure = outcome.failure.as_ref();
        run(
            client,
            "INSERT INTO analytics.refresh_log
                 (refresh_id, object, triggered_by, status, started_at, duration_seconds, bucket_count, read_count,
                  written_count, removed_count, attempt, error_code, error_message)
             VALUES ($1, $2, $3, $4, pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $5), $5, $6, $7, $8,
                     $9, $10, $11, $12)",
            &[
                id.into(),
                outcome.object.as_str().into(),
                triggered_by.into(),
                outcome.status.into(),
                outcome.seconds.into(),
                outcome.buckets.into(),
                outcome.read.into(),
                outcome.written.into(),
                outcome.removed.into(),
                outcome.attempt.into(),
                failure.map(|failure| failure.code.as_str()).into(),
                failure.map(|failure| failure.message.as_str()).into(),
            ],
        );
    }
}

fn new_id(client: &mut SpiClient) -> Option<pgrx::Uuid> {
    run(client, "SELECT pg_catalog.gen_random_uuid()", &[])
        .first()
        .get_one()
        .unwrap_or_report()
}

pub fn run<'c>(
    client: &'c mut SpiClient,
    sql: &str,
    arguments: &[DatumWithOid],
) -> spi::SpiTupleTable<'c> {
    client.update(sql, None, arguments).unwrap_or_report()
}
