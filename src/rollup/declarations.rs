//! What each rollup is computed from. A new rollup is a table in a migration and a declaration here.

use super::capture::Sources;

/// A table of raw rows. Its bit is the argument of its trigger.
pub struct Source {
    pub bit: Sources,
    pub table: &'static str,
    pub time: &'static str,
}

pub const RUNS: Source = Source {
    bit: 1,
    table: "agent_runs",
    time: "started_at",
};
pub const ERRORS: Source = Source {
    bit: 2,
    table: "agent_errors",
    time: "occurred_at",
};
pub const FEEDBACK: Source = Source {
    bit: 4,
    table: "agent_user_feedback",
    time: "created_at",
};
pub const QUEUE: Source = Source {
    bit: 8,
    table: "execution_queue",
    time: "queued_at",
};
pub const SOURCES: &[Source] = &[RUNS, ERRORS, FEEDBACK, QUEUE];

/// How two values of a column become one.
#[derive(Clone, Copy)]
pub enum Merge {
    /// Of this type.
    Sum(&'static str),
    Sketch,
    Least,
    Greatest,
}

/// `raw` is an aggregate over the rows `r` of a source.
pub struct Column {
    pub name: &'static str,
    pub raw: &'static str,
    pub merge: Merge,
}

/// What one source contributes to a bucket; the first column counts its rows.
pub struct Part {
    pub source: Source,
    pub columns: &'static [Column],
}

/// Hours of agents, and the days that they are merged into.
pub struct Rollup {
    pub hourly: &'static str,
    pub daily: &'static str,
    pub parts: &'static [Part],
    /// Columns for people, computed from those of the row `f`.
    pub derived: &'static [(&'static str, &'static str)],
}

const fn count(name: &'static str, raw: &'static str) -> Column {
    Column {
        name,
        raw,
        merge: Merge::Sum("bigint"),
    }
}

const fn amount(name: &'static str, raw: &'static str) -> Column {
    Column {
        name,
        raw,
        merge: Merge::Sum("numeric"),
    }
}

const fn column(name: &'static str, raw: &'static str, merge: Merge) -> Column {
    Column { name, raw, merge }
}

pub const AGENT_PERFORMANCE: Rollup = Rollup {
    hourly: "agent_performance_hourly",
    daily: "agent_performance_daily",
    parts: &[
        Part {
            source: RUNS,
            columns: &[
                count("total_runs", "count(*)"),
                count(
                    "successful_runs",
                    "count(*) FILTER (WHERE r.status = 'completed')",
                ),
                count("failed_runs", "count(*) FILTER (WHERE r.status = 'failed')"),
                count(
                    "timeout_runs",
                    "count(*) FILTER (WHERE r.status = 'timeout')",
                ),
                count(
                    "cancelled_runs",
                    "count(*) FILTER (WHERE r.status = 'cancelled')",
                ),
                count(
                    "running_runs",
                    "count(*) FILTER (WHERE r.status = 'running')",
                ),
                count("queued_runs", "count(*) FILTER (WHERE r.status = 'queued')"),
                column(
                    "runtime_sketch",
                    "analytics.percentile_agg(r.runtime_seconds)",
                    Merge::Sketch,
                ),
                amount("credits_consumed", "coalesce(sum(r.credits_consumed), 0)"),
                amount(
                    "tokens_used",
                    "coalesce(sum(coalesce(r.tokens_used, r.prompt_tokens + r.completion_tokens)), 0)",
                ),
                amount("prompt_tokens", "coalesce(sum(r.prompt_tokens), 0)"),
                amount("completion_tokens", "coalesce(sum(r.completion_tokens), 0)"),
                column(
                    "users_sketch",
                    "analytics.distinct_agg(r.user_id)",
                    Merge::Sketch,
                ),
                count("total_ratings", "count(r.user_rating)"),
                count("sum_ratings", "coalesce(sum(r.user_rating), 0)"),
                column("first_run_at", "min(r.started_at)", Merge::Least),
                column("last_run_at", "max(r.started_at)", Merge::Greatest),
                count("concurrency_count", "count(r.concurrent_runs)"),
                count("sum_concurrent_runs", "coalesce(sum(r.concurrent_runs), 0)"),
                column(
                    "max_concurrent_runs",
                    "max(r.concurrent_runs)",
                    Merge::Greatest,
                ),
            ],
        },
        Part {
            source: ERRORS,
            columns: &[count("total_errors", "count(*)")],
        },
        Part {
            source: FEEDBACK,
            columns: &[
                count("total_feedback", "count(*)"),
                count("sum_feedback_ratings", "coalesce(sum(r.rating), 0)"),
            ],
        },
    ],
    derived: &[
        ("avg_runtime_seconds", "analytics.mean(f.runtime_sketch)"),
        (
            "p50_runtime_seconds",
            "analytics.approx_percentile(0.5, f.runtime_sketch)",
        ),
        (
            "p95_runtime_seconds",
            "analytics.approx_percentile(0.95, f.runtime_sketch)",
        ),
        ("min_runtime_seconds", "analytics.min_val(f.runtime_sketch)"),
        ("max_runtime_seconds", "analytics.max_val(f.runtime_sketch)"),
        (
            "unique_users",
            "coalesce(analytics.approx_distinct(f.users_sketch), 0)",
        ),
    ],
};

pub const ROLLUPS: &[Rollup] = &[AGENT_PERFORMANCE];
