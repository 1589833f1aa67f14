//! `analytics.generate_demo_data()`: the rows of crate `workload`, chunk by chunk, as sets that SQL can insert.
//!
//! Every function here is a pure function of the parameters, so that a chunk can be made alone and twice alike.

use std::cell::RefCell;
use std::rc::Rc;

use pgrx::prelude::*;
use workload::{Params, Run, Status, Workload};

use crate::errors::raise;

/// Microseconds from 1970, where the workload counts from, to 2000, where Postgres does.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

thread_local! {
    // The tables of one load are filled from the same chunks: working out the workload once is enough.
    static LATEST: RefCell<Option<Rc<Workload>>> = const { RefCell::new(None) };
}

/// What a caller of SQL can ask for.
#[derive(Clone, Copy)]
struct Request {
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
}

impl Request {
    fn workload(self) -> Rc<Workload> {
        let params = self.params();
        let cached = LATEST.with_borrow(|latest| {
            latest
                .as_ref()
                .filter(|workload| workload.params() == &params)
                .map(Rc::clone)
        });
        cached.unwrap_or_else(|| match Workload::new(params) {
            Ok(workload) => {
                let workload = Rc::new(workload);
                LATEST.with_borrow_mut(|latest| *latest = Some(Rc::clone(&workload)));
                workload
            }
            Err(error) => raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("demo data cannot be generated: {error}"),
                error.hint(),
            ),
        })
    }

    /// A negative number is as impossible as zero, which the workload refuses with a hint.
    fn params(self) -> Params {
        let count = |value: i32| u32::try_from(value).unwrap_or(0);
        Params {
            seed: self.seed.cast_unsigned(),
            runs: u64::try_from(self.runs).unwrap_or(0),
            workspaces: count(self.workspaces),
            agents: count(self.agents),
            users_per_workspace: count(self.users),
            days: count(self.days),
            end_micros: pg_sys::TimestampTz::from(self.as_of).saturating_add(POSTGRES_EPOCH_MICROS),
        }
    }
}

/// Collected, because the runs borrow from the workload and a set that Postgres pulls on must own what it gives; a
/// chunk is some 25 MB.
fn collect<T>(request: Request, chunk: i64, row: impl FnMut(Run<'_>) -> Option<T>) -> Vec<T> {
    let workload = request.workload();
    let Ok(chunk) = u64::try_from(chunk) else {
        return Vec::new();
    };
    workload.runs(chunk).filter_map(row).collect()
}

fn time(micros: i64) -> TimestampWithTimeZone {
    // The workload stays within the years 2000 to 2199, which every timestamp can hold.
    TimestampWithTimeZone::try_from(micros.saturating_sub(POSTGRES_EPOCH_MICROS)).unwrap_or_else(
        |error| {
            raise(
                PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
                format!("{error}"),
                "Report this as a bug.",
            )
        },
    )
}

fn uuid(bytes: [u8; 16]) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(bytes)
}

/// The workspaces of a workload.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn demo_workspaces(
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
) -> TableIterator<
    'static,
    (
        name!(workspace_id, pgrx::Uuid),
        name!(name, String),
        name!(plan, &'static str),
        name!(time_zone, &'static str),
    ),
> {
    let request = Request {
        runs,
        seed,
        workspaces,
        agents,
        users,
        days,
        as_of,
    };
    let rows: Vec<_> = request
        .workload()
        .workspaces()
        .iter()
        .map(|w| (uuid(w.id), w.name.clone(), w.plan.as_str(), w.time_zone))
        .collect();
    TableIterator::new(rows)
}

/// The agents of a workload, with the truth about them that tests look for.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn demo_agents(
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
) -> TableIterator<
    'static,
    (
        name!(workspace_id, pgrx::Uuid),
        name!(agent_id, pgrx::Uuid),
        name!(name, String),
        name!(agent_type, &'static str),
        name!(owner_id, pgrx::Uuid),
        name!(lifecycle_state, &'static str),
        name!(created_at, TimestampWithTimeZone),
        name!(success_rate, f64),
        name!(timeout_rate, f64),
        name!(median_runtime_seconds, f64),
    ),
> {
    let request = Request {
        runs,
        seed,
        workspaces,
        agents,
        users,
        days,
        as_of,
    };
    let workload = request.workload();
    let rows: Vec<_> = workload
        .agents()
        .iter()
        .filter_map(|a| {
            let workspace = workload.workspaces().get(a.workspace)?;
            Some((
                uuid(workspace.id),
                uuid(a.id),
                a.name.clone(),
                a.agent_type,
                uuid(a.owner_id),
                a.state.as_str(),
                time(a.created_at),
                a.success_rate,
                a.timeout_rate,
                a.median_runtime_seconds,
            ))
        })
        .collect();
    TableIterator::new(rows)
}

/// The incidents of a workload: when, where and what, for tests that must find them.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn demo_incidents(
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
) -> TableIterator<
    'static,
    (
        name!(kind, &'static str),
        name!(workspace_id, pgrx::Uuid),
        name!(agent_id, Option<pgrx::Uuid>),
        name!(started_at, TimestampWithTimeZone),
        name!(ended_at, TimestampWithTimeZone),
        name!(magnitude, f64),
        name!(description, String),
    ),
> {
    let request = Request {
        runs,
        seed,
        workspaces,
        agents,
        users,
        days,
        as_of,
    };
    let workload = request.workload();
    let rows: Vec<_> = workload
        .incidents()
        .iter()
        .filter_map(|i| {
            let workspace = workload.workspaces().get(i.workspace)?;
            let agent = i.agent.and_then(|agent| workload.agents().get(agent));
            Some((
                i.kind.as_str(),
                uuid(workspace.id),
                agent.map(|agent| uuid(agent.id)),
                time(i.start_micros),
                time(i.end_micros),
                i.magnitude,
                i.description.clone(),
            ))
        })
        .collect();
    TableIterator::new(rows)
}

/// One chunk of runs, as rows of `agent_runs`.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn demo_runs(
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
    chunk: i64,
) -> TableIterator<
    'static,
    (
        name!(workspace_id, pgrx::Uuid),
        name!(run_id, pgrx::Uuid),
        name!(agent_id, pgrx::Uuid),
        name!(user_id, pgrx::Uuid),
        name!(session_id, String),
        name!(parent_run_id, Option<pgrx::Uuid>),
        name!(agent_version, String),
        name!(status, &'static str),
        name!(trigger_source, &'static str),
        name!(started_at, TimestampWithTimeZone),
        name!(completed_at, Option<TimestampWithTimeZone>),
        name!(runtime_seconds, Option<f64>),
        name!(credits_micros, i64),
        name!(tokens_used, Option<i64>),
        name!(prompt_tokens, Option<i64>),
        name!(completion_tokens, Option<i64>),
        name!(model_name, &'static str),
        name!(model_provider, &'static str),
        name!(concurrent_runs, i32),
        name!(error_type, Option<&'static str>),
        name!(error_message, Option<String>),
        name!(error_stack, Option<&'static str>),
        name!(user_rating, Option<i16>),
        name!(user_feedback, Option<&'static str>),
    ),
> {
    let request = Request {
        runs,
        seed,
        workspaces,
        agents,
        users,
        days,
        as_of,
    };
    TableIterator::new(collect(request, chunk, |run| {
        let rating = run.user_rating();
        let error = run.error.as_ref();
        Some((
            uuid(run.workspace_id),
            uuid(run.run_id),
            uuid(run.agent_id),
            uuid(run.user_id),
            run.session_id.as_str().to_owned(),
            run.parent_run_id.map(uuid),
            run.agent_version.to_owned(),
            run.status.as_str(),
            run.trigger_source.as_str(),
            time(run.started_at),
            run.completed_at.map(time),
            run.runtime_seconds,
            run.credits_micros,
            run.tokens_used,
            run.prompt_tokens,
            run.completion_tokens,
            run.model_name,
            run.model_provider,
            run.concurrent_runs,
            error.map(|error| error.error_type),
            error.map(|error| error.message.clone()),
            error.and_then(|error| error.stack),
            rating,
            run.feedback.and_then(|feedback| feedback.comment),
        ))
    }))
}

/// The errors of one chunk of runs, as rows of `agent_errors`. An error has the id of its run.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn demo_errors(
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
    chunk: i64,
) -> TableIterator<
    'static,
    (
        name!(workspace_id, pgrx::Uuid),
        name!(error_id, pgrx::Uuid),
        name!(agent_id, pgrx::Uuid),
        name!(run_started_at, TimestampWithTimeZone),
        name!(user_id, pgrx::Uuid),
        name!(error_type, &'static str),
        name!(error_category, &'static str),
        name!(error_severity, &'static str),
        name!(error_message, String),
        name!(error_stack, Option<&'static str>),
        name!(auto_recovered, bool),
        name!(recovery_attempts, i32),
        name!(recovery_time_seconds, Option<f64>),
        name!(affected_users, i32),
        name!(business_impact, &'static str),
        name!(occurred_at, TimestampWithTimeZone),
    ),
> {
    let request = Request {
        runs,
        seed,
        workspaces,
        agents,
        users,
        days,
        as_of,
    };
    TableIterator::new(collect(request, chunk, |run| {
        let error = run.error?;
        Some((
            uuid(run.workspace_id),
            uuid(run.run_id),
            uuid(run.agent_id),
            time(run.started_at),
            uuid(run.user_id),
            error.error_type,
            error.category.as_str(),
            error.severity.as_str(),
            error.message,
            error.stack,
            error.auto_recovered,
            error.recovery_attempts,
            error.recovery_time_seconds,
            error.affected_users,
            error.business_impact.as_str(),
            time(run.completed_at.unwrap_or(run.started_at)),
        ))
    }))
}

/// The feedback on one chunk of runs, as rows of `agent_user_feedback`. Feedback has the id of its run.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn demo_feedback(
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
    chunk: i64,
) -> TableIterator<
    'static,
    (
        name!(workspace_id, pgrx::Uuid),
        name!(feedback_id, pgrx::Uuid),
        name!(agent_id, pgrx::Uuid),
        name!(run_started_at, TimestampWithTimeZone),
        name!(user_id, pgrx::Uuid),
        name!(rating, i16),
        name!(comment, Option<&'static str>),
        name!(feedback_category, &'static str),
        name!(sentiment, &'static str),
        name!(sentiment_score, f64),
        name!(created_at, TimestampWithTimeZone),
    ),
> {
    let request = Request {
        runs,
        seed,
        workspaces,
        agents,
        users,
        days,
        as_of,
    };
    TableIterator::new(collect(request, chunk, |run| {
        let feedback = run.feedback?;
        Some((
            uuid(run.workspace_id),
            uuid(run.run_id),
            uuid(run.agent_id),
            time(run.started_at),
            uuid(run.user_id),
            feedback.rating,
            feedback.comment,
            feedback.category.as_str(),
            feedback.sentiment.as_str(),
            feedback.sentiment_score,
            time(feedback.created_at),
        ))
    }))
}

/// The way of one chunk of runs through the queue, as rows of `execution_queue`. An entry has the id of its run.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // the shape is the SQL signature
fn demo_queue(
    runs: i64,
    seed: i64,
    workspaces: i32,
    agents: i32,
    users: i32,
    days: i32,
    as_of: TimestampWithTimeZone,
    chunk: i64,
) -> TableIterator<
    'static,
    (
        name!(workspace_id, pgrx::Uuid),
        name!(queue_id, pgrx::Uuid),
        name!(agent_id, pgrx::Uuid),
        name!(user_id, pgrx::Uuid),
        name!(status, &'static str),
        name!(priority, i32),
        name!(queued_at, TimestampWithTimeZone),
        name!(started_at, Option<TimestampWithTimeZone>),
        name!(completed_at, Option<TimestampWithTimeZone>),
    ),
> {
    let request = Request {
        runs,
        seed,
        workspaces,
        agents,
        users,
        days,
        as_of,
    };
    TableIterator::new(collect(request, chunk, |run| {
        let started_at = run.queue_wait_micros.map(|_| time(run.started_at));
        Some((
            uuid(run.workspace_id),
            uuid(run.run_id),
            uuid(run.agent_id),
            uuid(run.user_id),
            queue_status(run.status),
            i32::from(run.priority),
            time(run.queued_at()),
            started_at,
            run.completed_at.map(time),
        ))
    }))
}

/// What the queue calls the state of a run: a run that timed out has failed.
fn queue_status(status: Status) -> &'static str {
    match status {
        Status::Running => "processing",
        Status::Timeout => Status::Failed.as_str(),
        other => other.as_str(),
    }
}
