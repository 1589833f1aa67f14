//! What has changed since the rollups were computed, as far as a question is concerned.

use std::collections::HashSet;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::capture::{Sources, with_pending};
use super::declarations::{AGENT_PERFORMANCE, ROLLUPS};
use super::owner;
use super::partitions::{Partition, current};
use super::statements::all_buckets;
use super::time::{INFINITY, MINUS_INFINITY, to_microseconds, to_time};
use crate::query::read_rows;
use crate::roles::as_role;
use crate::workspaces::require_workspace;

/// One agent and the start of an hour.
type Hour = ([u8; 16], i64);

struct Question {
    workspace_id: pgrx::Uuid,
    agent_id: Option<pgrx::Uuid>,
    from: i64,
    to: i64,
    sources: Sources,
}

/// Hours of a workspace in which raw rows have changed since the rollups were computed: those of the log, as of the
/// caller's snapshot, and those that this transaction has not written yet. With the rights of the tables' owner, because
/// an answer without some of the log would be wrong; what it tells is the caller's own workspace.
#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
fn changed_buckets(
    workspace_id: Option<pgrx::Uuid>,
    agent_id: Option<pgrx::Uuid>,
    from_time: TimestampWithTimeZone,
    to_time: TimestampWithTimeZone,
    sources: i32,
) -> TableIterator<
    'static,
    (
        name!(agent_id, pgrx::Uuid),
        name!(bucket, TimestampWithTimeZone),
    ),
> {
    require_workspace(workspace_id);
    let hours = match workspace_id {
        Some(workspace_id) => changed_hours(&Question {
            workspace_id,
            agent_id,
            from: to_microseconds(from_time),
            to: to_microseconds(to_time),
            sources,
        }),
        None => HashSet::new(),
    };
    TableIterator::new(
        hours
            .into_iter()
            .map(|(agent, hour)| (pgrx::Uuid::from_bytes(agent), super::time::to_time(hour))),
    )
}

fn changed_hours(question: &Question) -> HashSet<Hour> {
    let mut hours = HashSet::new();
    let mut ranges = Vec::new();
    with_pending(|buckets, everything| {
        let workspace = question.workspace_id.as_bytes();
        hours.extend(
            buckets
                .iter()
                .filter(|(bucket, sources)| {
                    *sources & question.sources != 0
                        && bucket.workspace_id == *workspace
                        && question
                            .agent_id
                            .is_none_or(|agent| bucket.agent_id == *agent.as_bytes())
                        && (question.from..question.to).contains(&bucket.hour)
                })
                .map(|(bucket, _)| (bucket.agent_id, bucket.hour)),
        );
        if everything & question.sources != 0 {
            ranges.push((MINUS_INFINITY, INFINITY));
        }
    });
    as_role(owner(), || {
        if question.sources & super::declarations::RUNS.bit != 0 {
            ranges.extend(changed_ranges());
        }
        for hour in logged_hours(question) {
            match hour {
                Some(hour) => {
                    hours.insert(hour);
                }
                None => ranges.push((MINUS_INFINITY, INFINITY)),
            }
        }
        for (lower, upper) in ranges {
            let (from, to) = (lower.max(question.from), upper.min(question.to));
            if from < to {
                hours.extend(all_hours(question, from, to));
            }
        }
    });
    hours
}

/// Those of the log; none in place of one that says that everything has changed.
fn logged_hours(question: &Question) -> Vec<Option<Hour>> {
    read_rows(
        "SELECT DISTINCT c.agent_id, c.bucket FROM analytics_internal.rollup_changes AS c \
         WHERE c.sources & $5 <> 0 AND (c.workspace_id IS NULL OR c.workspace_id = $1 \
         AND ($2 IS NULL OR c.agent_id = $2) AND c.bucket >= $3 AND c.bucket < $4)",
        &[
            question.workspace_id.into(),
            question.agent_id.into(),
            to_time(question.from).into(),
            to_time(question.to).into(),
            question.sources.into(),
        ],
        |row| {
            let agent = row.get::<pgrx::Uuid>(1)?;
            let bucket = row.get::<TimestampWithTimeZone>(2)?;
            Some((*agent.as_bytes(), to_microseconds(bucket)))
        },
    )
}

fn all_hours(question: &Question, from: i64, to: i64) -> Vec<Hour> {
    let condition = "AND r.workspace_id = $3 AND ($4 IS NULL OR r.agent_id = $4)";
    let hours = read_rows(
        &all_buckets(question.sources, ROLLUPS, condition),
        &[
            to_time(from).into(),
            to_time(to).into(),
            question.workspace_id.into(),
            question.agent_id.into(),
        ],
        |row| {
            let agent = row.get::<pgrx::Uuid>(2)?;
            let bucket = row.get::<TimestampWithTimeZone>(3)?;
            Some((*agent.as_bytes(), to_microseconds(bucket)))
        },
    );
    hours.into_iter().flatten().collect()
}

/// Ranges of time whose partition is another one than the rollups were computed from, or has lost or got rows in a
/// way that fires no trigger.
pub fn changed_ranges() -> Vec<(i64, i64)> {
    let now = current();
    let known = read_rows(
        "SELECT p.partition, p.storage, p.lower, p.upper FROM analytics_internal.rollup_partitions AS p",
        &[],
        |row| {
            Some(Partition {
                oid: row.get::<pg_sys::Oid>(1)?,
                storage: row.get::<pg_sys::Oid>(2)?,
                lower: to_microseconds(row.get::<TimestampWithTimeZone>(3)?),
                upper: to_microseconds(row.get::<TimestampWithTimeZone>(4)?),
            })
        },
    );
    let known: Vec<Partition> = known.into_iter().flatten().collect();
    let gone = known.iter().filter(|partition| !now.contains(partition));
    let new = now.iter().filter(|partition| !known.contains(partition));
    gone.chain(new)
        .map(|partition| (partition.lower, partition.upper))
        .collect()
}

/// The text of the query behind `agent_performance_buckets`, which runs it with the caller's rights.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn agent_performance_query(has_changes: bool) -> String {
    AGENT_PERFORMANCE.read(has_changes)
}
