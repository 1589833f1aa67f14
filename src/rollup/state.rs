//! The outcome of refreshes: consecutive failures, the time of the next attempt, and the log that people read.

use std::time::Instant;

use super::declarations::{ROLLUPS, Rollup};
use super::work::Counts;
use crate::query::{change_kept, change_one_kept, change_rows_kept};
use crate::subtransaction::Failure;

/// What was done to one table of a rollup.
pub struct Outcome {
    pub object: String,
    pub status: &'static str,
    pub counts: Counts,
    pub seconds: f64,
    pub attempt: i32,
    pub failure: Option<Failure>,
}

impl Outcome {
    pub fn nothing(object: &str, status: &'static str) -> Self {
        Self {
            object: object.to_owned(),
            status,
            counts: Counts::default(),
            seconds: 0.0,
            attempt: 1,
            failure: None,
        }
    }

    pub fn refreshed(table: &str, counts: Counts, started: Instant) -> Self {
        Self {
            counts,
            seconds: started.elapsed().as_secs_f64(),
            ..Self::nothing(table, "refreshed")
        }
    }

    fn is_worth_a_row(&self) -> bool {
        let Counts {
            buckets,
            written,
            removed,
            ..
        } = self.counts;
        self.failure.is_some() || buckets + written + removed > 0
    }
}

/// The rollups that do not take part in the batch of all, looked up once for each.
pub struct Stragglers(Vec<(String, bool)>);

impl Stragglers {
    /// Which have failed, and not yet made up for it, or have a repair to do.
    pub fn look_up() -> Self {
        let sql = "SELECT n.rollup, s.retry_at > pg_catalog.clock_timestamp()
                   FROM (SELECT c.rollup FROM analytics_internal.rollup_changes AS c WHERE c.rollup IS NOT NULL
                         UNION
                         SELECT s.rollup FROM analytics_internal.rollup_state AS s
                         WHERE s.retry_at > pg_catalog.clock_timestamp()) AS n
                   LEFT JOIN analytics_internal.rollup_state AS s ON s.rollup = n.rollup";
        let found = change_rows_kept(sql, &[], |row| {
            Some((row.get(1)?, row.get(2).unwrap_or(false)))
        });
        Self(found.into_iter().flatten().collect())
    }

    /// After a failure, until all that was put back is done: the removal of a workspace must not come after the hours
    /// of another one that has its id.
    pub fn contain(&self, rollup: &Rollup) -> bool {
        self.0.iter().any(|(name, _)| name == rollup.name)
    }

    /// Those whose time has come again.
    pub fn due(&self) -> impl Iterator<Item = &'static Rollup> {
        let is_due = |rollup: &Rollup| {
            let mut own = self.0.iter().filter(|(name, _)| name == rollup.name);
            own.any(|(_, must_wait)| !must_wait)
        };
        ROLLUPS.iter().filter(move |rollup| is_due(rollup))
    }
}

/// The number of the next attempt, counted from 1.
pub fn attempts(rollup: &Rollup) -> i32 {
    let failures: Option<i32> = change_one_kept(
        "SELECT s.consecutive_failures FROM analytics_internal.rollup_state AS s WHERE s.rollup = $1",
        &[rollup.name.into()],
    );
    failures.unwrap_or(0).saturating_add(1)
}

pub fn succeeded(rollup: &Rollup) {
    change_kept(
        "INSERT INTO analytics_internal.rollup_state AS s (rollup, version, last_success_at)
         VALUES ($1, 1, pg_catalog.clock_timestamp())
         ON CONFLICT (rollup) DO UPDATE
         SET version = s.version + 1, last_success_at = excluded.last_success_at, consecutive_failures = 0,
             retry_at = NULL, error_code = NULL, error_message = NULL",
        &[rollup.name.into()],
    );
}

/// Tried again after 5 seconds, then 10, 20, ... up to ten minutes.
pub fn failed(rollup: &Rollup, failure: &Failure) {
    change_kept(
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

/// Rows of `refresh_log` for what was done, of one id.
pub fn write_log(outcomes: &[Outcome], triggered_by: &str) {
    let mut refresh_id = None;
    for outcome in outcomes.iter().filter(|outcome| outcome.is_worth_a_row()) {
        let id: Option<pgrx::Uuid> = *refresh_id
            .get_or_insert_with(|| change_one_kept("SELECT pg_catalog.gen_random_uuid()", &[]));
        let failure = outcome.failure.as_ref();
        change_kept(
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
                outcome.counts.buckets.into(),
                outcome.counts.read.into(),
                outcome.counts.written.into(),
                outcome.counts.removed.into(),
                outcome.attempt.into(),
                failure.map(|failure| failure.code.as_str()).into(),
                failure.map(|failure| failure.message.as_str()).into(),
            ],
        );
    }
}
