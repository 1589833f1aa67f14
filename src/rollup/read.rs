//! Reads that are exact whether or not a refresh has run: clean buckets from the rollup, and what has changed since from
//! raw rows, in the caller's snapshot and with the caller's rights.

use std::collections::HashSet;

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::capture::with_pending;
use super::declarations::{DAY, HOUR, MINUTES_KEPT, ROLLUPS, Rollup};
use super::floors;
use super::owner;
use super::partitions::observe;
use super::statements::{Shape, Wanted};
use super::time::{
    INFINITY, MINUS_INFINITY, ceiling, floor, statement_start, to_microseconds, to_time,
};
use crate::errors::raise;
use crate::fmgr::Call;
use crate::query::read_rows_kept;
use crate::roles::as_role;
use crate::setup::require_schema;
use crate::sql_functions;
use crate::workspaces::require_workspace;

sql_functions! {
    /// All functions that read a rollup: each is called `NAME_buckets`.
    fn read_rollup(call) {
        answer(call, rollup_of(call))
    }
}

fn rollup_of(call: Call) -> &'static Rollup {
    let function = call.function_name();
    let name = function
        .as_deref()
        .and_then(|name| name.strip_suffix("_buckets"));
    let rollup = ROLLUPS.iter().find(|rollup| name == Some(rollup.name));
    rollup.unwrap_or_else(|| {
        raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
            format!(
                "function {} reads no rollup: there is none of that name",
                function.as_deref().unwrap_or_default()
            ),
            "Drop the function, or give it back the name that it had.",
        )
    })
}

struct Question<'a> {
    rollup: &'a Rollup,
    workspace_id: pgrx::Uuid,
    entity_id: Option<pgrx::Uuid>,
    from: i64,
    to: i64,
    step: Option<Interval>,
    /// Of the step, in microseconds.
    width: Option<i64>,
    wanted: Wanted,
    by_entity: bool,
}

impl Question<'_> {
    /// Whether the step, if there is one, consists of such buckets.
    fn is_of(&self, unit: i64) -> bool {
        self.width.is_none_or(|width| width % unit == 0)
    }

    fn by_days(&self) -> bool {
        self.is_of(DAY)
    }

    /// Which only rollups by the minute can tell.
    fn by_minutes(&self) -> bool {
        !self.is_of(HOUR)
    }
}

/// What of a question cannot be answered from clean rollups.
#[derive(Default)]
struct Changed {
    /// An agent or user, none in rollups of the whole workspace, and the start of an hour.
    hours: HashSet<(Option<[u8; 16]>, i64)>,
    ranges: Vec<(i64, i64)>,
    /// The rollups are those of a workspace that was deleted, and whose id another one has now.
    is_another: bool,
}

fn answer(call: Call, rollup: &Rollup) -> pg_sys::Datum {
    let rows = call.rows();
    let question = question(call, rollup);
    let mut changed = changed(&question);
    let window = whole_buckets(&question, &mut changed);
    let floors = floors::floors();
    let has_changes = !changed.hours.is_empty() || !changed.ranges.is_empty();
    let shape = Shape {
        one_entity: question.entity_id.is_some(),
        keys: !changed.hours.is_empty(),
        ranges: !changed.ranges.is_empty(),
        holes: changed
            .ranges
            .iter()
            .any(|(lower, upper)| *lower < window.1 && *upper > window.0),
        floors: has_changes
            && !changed.is_another
            && floors.iter().any(|floor| *floor != MINUS_INFINITY),
        fine: question.by_minutes(),
        by_entity: question.by_entity,
        wanted: question.wanted,
        direct: question.width.filter(|width| {
            question.by_entity && rollup.levels().any(|level| level.width == *width)
        }),
    };
    let days = if question.by_days() {
        (ceiling(window.0, DAY), floor(window.1, DAY))
    } else {
        (window.1, window.1)
    };
    let times = |times: &mut dyn Iterator<Item = i64>| times.map(to_time).collect::<Vec<_>>();
    let entities: Vec<Option<pgrx::Uuid>> = changed
        .hours
        .iter()
        .map(|(entity, _)| entity.map(pgrx::Uuid::from_bytes))
        .collect();
    let arguments: [DatumWithOid; 12] = [
        question.workspace_id.into(),
        question.entity_id.into(),
        to_time(window.0).into(),
        to_time(window.1).into(),
        to_time(days.0).into(),
        to_time(days.1).into(),
        question.step.into(),
        entities.into(),
        times(&mut changed.hours.iter().map(|(_, hour)| *hour)).into(),
        times(&mut changed.ranges.iter().map(|(lower, _)| *lower)).into(),
        times(&mut changed.ranges.iter().map(|(_, upper)| *upper)).into(),
        times(&mut floors.into_iter()).into(),
    ];
    let name = format!("{} {shape:?}", rollup.name);
    // SAFETY: the SQL of the function comes from the declaration of the rollup, and has its columns in their order.
    read_rows_kept(
        &name,
        || rollup.read(shape),
        &arguments,
        |row| unsafe {
            rows.add(row.tuple());
        },
    );
    pg_sys::Datum::null()
}

fn name_of(width: i64) -> &'static str {
    match width {
        DAY => "24 hours",
        HOUR => "1 hour",
        _ => "1 minute",
    }
}

fn question(call: Call, rollup: &Rollup) -> Question<'_> {
    require_schema();
    let workspace_id = call.uuid(0);
    require_workspace(workspace_id);
    let Some(workspace_id) = workspace_id else {
        unreachable!("a workspace that is NULL was refused")
    };
    // Rollups of the whole workspace take neither agent nor user.
    let has_entity = rollup.entity.is_some();
    let (first_time, entity_id) = if has_entity {
        (2, call.uuid(1))
    } else {
        (1, None)
    };
    // A window without bounds has NULL there.
    let time = |index, unbounded| call.datum(index).map_or(unbounded, super::time::from_datum);
    let step = call.interval(first_time + 2);
    // A month is not as long as another: none.
    let width = step.map(|step| {
        let days = i64::from(step.days()).saturating_mul(DAY);
        (step.months() == 0).then(|| days.saturating_add(step.micros()))
    });
    let finest = rollup
        .minutes
        .map_or(rollup.base.width, |level| level.width);
    if width.is_some_and(|width| width.is_none_or(|width| width % finest != 0)) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "step is not allowed: it is not a whole number of buckets",
            format!("Give a multiple of {}.", name_of(finest)),
        )
    }
    Question {
        rollup,
        workspace_id,
        entity_id,
        from: time(first_time, MINUS_INFINITY),
        to: time(first_time + 1, INFINITY),
        step,
        width: width.flatten(),
        wanted: wanted(call, first_time + 3, rollup),
        by_entity: !has_entity || call.bool(first_time + 4).unwrap_or(true),
    }
}

/// The columns that the argument names; all where it is NULL.
fn wanted(call: Call, argument: usize, rollup: &Rollup) -> Wanted {
    let Some(names) = call.texts(argument) else {
        return Wanted::ALL;
    };
    names
        .into_iter()
        .flatten()
        .fold(Wanted::NONE, |wanted, name| {
            match rollup.read_columns().position(|column| column == name) {
                Some(place) => wanted.with(place),
                None => raise(
                    PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                    format!(
                        "columns {name} is not allowed: {} has no such column",
                        rollup.name
                    ),
                    format!(
                        "Use some of {}.",
                        rollup.read_columns().collect::<Vec<_>>().join(", ")
                    ),
                ),
            }
        })
}

/// The part of the window that consists of whole buckets; what is left at its edges is read from raw rows.
fn whole_buckets(question: &Question, changed: &mut Changed) -> (i64, i64) {
    let width = question.rollup.base.width;
    let (mut from, mut to) = (ceiling(question.from, width), floor(question.to, width));
    if from >= to {
        changed.hours.clear();
        changed.ranges = vec![(question.from, question.to)];
        changed.ranges.retain(|(lower, upper)| lower < upper);
        return (question.to, question.to);
    }
    if question.by_minutes() {
        // Older minutes are not kept.
        from = from.max(floor(statement_start(), HOUR).saturating_sub(MINUTES_KEPT));
        to = to.max(from);
    }
    let within = |(lower, upper): &(i64, i64)| ((*lower).max(from), (*upper).min(to));
    let mut ranges: Vec<(i64, i64)> = changed
        .ranges
        .iter()
        .map(within)
        .chain([(question.from, from.min(question.to)), (to, question.to)])
        .filter(|(lower, upper)| lower < upper)
        .collect();
    ranges.sort_unstable();
    changed.ranges = joined(ranges);
    let ranges = &changed.ranges;
    changed.hours.retain(|(_, hour)| {
        let bucket = floor(*hour, width);
        (from..to).contains(&bucket)
            && !ranges
                .iter()
                .any(|(lower, upper)| (*lower..*upper).contains(&bucket))
    });
    (from, to)
}

/// Sorted ranges without overlaps and without gaps of nothing.
fn joined(ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (lower, upper) in ranges {
        match joined.last_mut() {
            Some(last) if lower <= last.1 => last.1 = last.1.max(upper),
            _ => joined.push((lower, upper)),
        }
    }
    joined
}

/// What has changed since the rollup was computed: the log as of the caller's snapshot, partitions that came or went,
/// and what this transaction has not written to the log yet. With the rights of the tables' owner, because an answer
/// without some of the log would be wrong; the caller may see the workspace that it is about.
fn changed(question: &Question) -> Changed {
    let mut changed = Changed::default();
    let sources = question.rollup.sources();
    let day = |range: (i64, i64)| (floor(range.0, DAY), ceiling(range.1, DAY));
    let in_key = |entity: Option<[u8; 16]>| entity.filter(|_| question.rollup.entity.is_some());
    with_pending(|buckets, everything, deleted| {
        let workspace = question.workspace_id.as_bytes();
        changed.is_another = deleted.contains(workspace);
        let wanted = question.entity_id.map(|id| *id.as_bytes());
        for (bucket, changed_sources) in buckets {
            if changed_sources & sources != 0
                && bucket.workspace_id == *workspace
                && (wanted.is_none() || bucket.entity_id == wanted)
            {
                changed
                    .hours
                    .insert((in_key(bucket.entity_id), bucket.hour));
            }
        }
        if everything & sources != 0 || changed.is_another {
            changed.ranges.push((MINUS_INFINITY, INFINITY));
        }
    });
    let logged = as_role(owner(), || {
        for (_, lower, upper) in observe(sources).changed() {
            changed.ranges.push(day((lower, upper)));
        }
        read_logged(question, sources)
    });
    for entry in logged {
        match entry.until {
            Some(until) => {
                changed.ranges.push(day((entry.bucket, until)));
                changed.is_another |= entry.of_workspace;
            }
            None => {
                changed.hours.insert((in_key(entry.entity), entry.bucket));
            }
        }
    }
    changed
}

struct Logged {
    entity: Option<[u8; 16]>,
    bucket: i64,
    until: Option<i64>,
    of_workspace: bool,
}

fn read_logged(question: &Question, sources: i32) -> Vec<Logged> {
    let sql = || {
        "SELECT DISTINCT c.entity_id, c.bucket, c.until, true FROM analytics_internal.rollup_changes AS c
         WHERE c.workspace_id = $1 AND c.sources & $3 <> 0 AND ($2 IS NULL OR c.entity_id = $2 OR c.entity_id IS NULL)
           AND (c.rollup IS NULL OR c.rollup = $4) AND c.bucket < $6 AND (c.bucket >= $5 OR c.until > $5)
         UNION ALL
         SELECT NULL, c.bucket, c.until, false FROM analytics_internal.rollup_changes AS c
         WHERE c.workspace_id IS NULL AND c.sources & $3 <> 0 AND (c.rollup IS NULL OR c.rollup = $4)"
            .to_owned()
    };
    // An hour before the window may be in a day of it.
    let from = floor(question.from, DAY);
    let arguments: [DatumWithOid; 6] = [
        question.workspace_id.into(),
        question.entity_id.into(),
        sources.into(),
        question.rollup.name.into(),
        to_time(from).into(),
        to_time(question.to).into(),
    ];
    let rows = read_rows_kept("rollup_changes", sql, &arguments, |row| {
        Some(Logged {
            entity: row.get::<pgrx::Uuid>(1).map(|id| *id.as_bytes()),
            bucket: to_microseconds(row.get::<TimestampWithTimeZone>(2)?),
            until: row.get::<TimestampWithTimeZone>(3).map(to_microseconds),
            of_workspace: row.get::<bool>(4)?,
        })
    });
    rows.into_iter().flatten().collect()
}
