//! The rollups, column by column.

use super::sources::{DEPARTURES, ERRORS, FEEDBACK, QUEUE, RUNS};
use super::{Column, DAY, Dimension, Entity, HOUR, Level, MINUTE, Merge, Part, Rollup};

const fn column(name: &'static str, raw: &'static str, kind: &'static str, merge: Merge) -> Column {
    Column {
        name,
        raw,
        kind,
        merge,
    }
}

const fn count(name: &'static str, raw: &'static str) -> Column {
    column(name, raw, "bigint", Merge::Sum)
}

const fn amount(name: &'static str, raw: &'static str) -> Column {
    column(name, raw, "numeric", Merge::Sum)
}

const fn quantiles(name: &'static str, raw: &'static str) -> Column {
    column(name, raw, "analytics.percentile_sketch", Merge::Sketch)
}

const fn distinct(name: &'static str, raw: &'static str) -> Column {
    column(name, raw, "analytics.distinct_sketch", Merge::Sketch)
}

const fn first(name: &'static str, raw: &'static str) -> Column {
    column(name, raw, "timestamptz", Merge::Least)
}

const fn last(name: &'static str, raw: &'static str) -> Column {
    column(name, raw, "timestamptz", Merge::Greatest)
}

const TOTAL_RUNS: Column = count("total_runs", "count(*)");
const SUCCESSFUL_RUNS: Column = count(
    "successful_runs",
    "count(*) FILTER (WHERE r.status = 'completed')",
);
const FAILED_RUNS: Column = count("failed_runs", "count(*) FILTER (WHERE r.status = 'failed')");
const TIMEOUT_RUNS: Column = count(
    "timeout_runs",
    "count(*) FILTER (WHERE r.status = 'timeout')",
);
const CANCELLED_RUNS: Column = count(
    "cancelled_runs",
    "count(*) FILTER (WHERE r.status = 'cancelled')",
);
const RUNNING_RUNS: Column = count(
    "running_runs",
    "count(*) FILTER (WHERE r.status = 'running')",
);
const QUEUED_RUNS: Column = count("queued_runs", "count(*) FILTER (WHERE r.status = 'queued')");
const FINISHED: &str = "count(*) FILTER (WHERE r.status NOT IN ('queued', 'running'))";
const RUNTIMES: Column = quantiles(
    "runtime_sketch",
    "analytics.percentile_agg(r.runtime_seconds)",
);
const CREDITS: Column = amount("credits_consumed", "coalesce(sum(r.credits_consumed), 0)");
const TOKENS: Column = amount(
    "tokens_used",
    "coalesce(sum(coalesce(r.tokens_used, r.prompt_tokens + r.completion_tokens)), 0)",
);
const PROMPT_TOKENS: Column = amount("prompt_tokens", "coalesce(sum(r.prompt_tokens), 0)");
const COMPLETION_TOKENS: Column =
    amount("completion_tokens", "coalesce(sum(r.completion_tokens), 0)");
const USERS: Column = distinct("users_sketch", "analytics.distinct_agg(r.user_id)");
const TOTAL_RATINGS: Column = count("total_ratings", "count(r.user_rating)");
const SUM_RATINGS: Column = count("sum_ratings", "coalesce(sum(r.user_rating), 0)");
const FIRST_RUN: Column = first("first_run_at", "min(r.started_at)");
const LAST_RUN: Column = last("last_run_at", "max(r.started_at)");
const CONCURRENCY_COUNT: Column = count("concurrency_count", "count(r.concurrent_runs)");
const SUM_CONCURRENCY: Column = count("sum_concurrent_runs", "coalesce(sum(r.concurrent_runs), 0)");
const MAX_CONCURRENCY: Column = column(
    "max_concurrent_runs",
    "max(r.concurrent_runs)",
    "integer",
    Merge::Greatest,
);
const TOTAL_ERRORS: Column = count("total_errors", "count(*)");
const TOTAL_FEEDBACK: Column = count("total_feedback", "count(*)");
const SUM_FEEDBACK: Column = count("sum_feedback_ratings", "coalesce(sum(r.rating), 0)");

const AVG_RUNTIME: (&str, &str) = ("avg_runtime_seconds", "analytics.mean(f.runtime_sketch)");
const P50_RUNTIME: (&str, &str) = (
    "p50_runtime_seconds",
    "analytics.approx_percentile(0.5, f.runtime_sketch)",
);
const P95_RUNTIME: (&str, &str) = (
    "p95_runtime_seconds",
    "analytics.approx_percentile(0.95, f.runtime_sketch)",
);
const UNIQUE_USERS: (&str, &str) = (
    "unique_users",
    "coalesce(analytics.approx_distinct(f.users_sketch), 0)",
);

const AGENT_PERFORMANCE: Rollup = Rollup {
    name: "agent_performance",
    comment: "What the agents of a workspace, or one of them, did from from_time to to_time (the end excluded; any times; NULL is no bound): one \
              row per agent and step that has anything (whole hours; NULL: one row for the whole time, with a NULL bucket). \
              From rollups, and from raw rows where these have changed since: always exact, runtime_sketch and users_sketch \
              within their error. columns names those that are wanted (default: all): the others are NULL, and nothing is \
              spent on them. Unless by_agent, one row for all agents, whose agent_id is NULL; agents is how many of them have \
              any of what the first column counts. Errors: 22023 unknown workspace, a time that is NULL, a step that is not of \
              whole hours, a column that there is not.",
    rows: 100,
    entity: Some(Entity::Agent),
    dimensions: &[],
    condition: None,
    base: Level {
        table: "agent_performance_hourly",
        width: HOUR,
    },
    days: Some(Level {
        table: "agent_performance_daily",
        width: DAY,
    }),
    minutes: None,
    parts: &[
        Part {
            source: RUNS,
            columns: &[
                TOTAL_RUNS,
                SUCCESSFUL_RUNS,
                FAILED_RUNS,
                TIMEOUT_RUNS,
                CANCELLED_RUNS,
                RUNNING_RUNS,
                QUEUED_RUNS,
                RUNTIMES,
                CREDITS,
                TOKENS,
                PROMPT_TOKENS,
                COMPLETION_TOKENS,
                USERS,
                TOTAL_RATINGS,
                SUM_RATINGS,
                FIRST_RUN,
                LAST_RUN,
                CONCURRENCY_COUNT,
                SUM_CONCURRENCY,
                MAX_CONCURRENCY,
            ],
        },
        Part {
            source: ERRORS,
            columns: &[TOTAL_ERRORS],
        },
        Part {
            source: FEEDBACK,
            columns: &[TOTAL_FEEDBACK, SUM_FEEDBACK],
        },
    ],
    derived: &[
        AVG_RUNTIME,
        P50_RUNTIME,
        P95_RUNTIME,
        ("min_runtime_seconds", "analytics.min_val(f.runtime_sketch)"),
        ("max_runtime_seconds", "analytics.max_val(f.runtime_sketch)"),
        UNIQUE_USERS,
    ],
};

macro_rules! latency {
    ($name:literal) => {
        [
            (
                concat!("avg_", $name, "_seconds"),
                concat!("analytics.mean(f.", $name, "_sketch)"),
            ),
            (
                concat!("p50_", $name, "_seconds"),
                concat!("analytics.approx_percentile(0.5, f.", $name, "_sketch)"),
            ),
            (
                concat!("p75_", $name, "_seconds"),
                concat!("analytics.approx_percentile(0.75, f.", $name, "_sketch)"),
            ),
            (
                concat!("p90_", $name, "_seconds"),
                concat!("analytics.approx_percentile(0.9, f.", $name, "_sketch)"),
            ),
            (
                concat!("p95_", $name, "_seconds"),
                concat!("analytics.approx_percentile(0.95, f.", $name, "_sketch)"),
            ),
            (
                concat!("p99_", $name, "_seconds"),
                concat!("analytics.approx_percentile(0.99, f.", $name, "_sketch)"),
            ),
        ]
    };
}

const RUNTIME_LATENCY: [(&str, &str); 6] = latency!("runtime");
const QUEUE_LATENCY: [(&str, &str); 6] = latency!("queue_latency");
const TOTAL_LATENCY: [(&str, &str); 6] = latency!("total_latency");

const EXECUTION_METRICS: Rollup = Rollup {
    name: "execution_metrics",
    comment: "What a workspace executed from from_time to to_time (the end excluded; any times; NULL is no bound): one row per step that has \
              anything (whole minutes; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows \
              where these have changed since. columns as in agent_performance_buckets. Errors: 22023 unknown workspace, a time \
              that is NULL, a step that is not of whole minutes, a column that there is not.",
    rows: 100,
    entity: None,
    dimensions: &[],
    condition: None,
    base: Level {
        table: "execution_metrics_hourly",
        width: HOUR,
    },
    days: Some(Level {
        table: "execution_metrics_daily",
        width: DAY,
    }),
    minutes: Some(Level {
        table: "execution_metrics_minute",
        width: MINUTE,
    }),
    parts: &[
        Part {
            source: RUNS,
            columns: &[
                TOTAL_RUNS,
                SUCCESSFUL_RUNS,
                FAILED_RUNS,
                TIMEOUT_RUNS,
                CANCELLED_RUNS,
                RUNNING_RUNS,
                QUEUED_RUNS,
                column(
                    "peak_runs_per_minute",
                    "count(*)",
                    "bigint",
                    Merge::Greatest,
                ),
                RUNTIMES,
                CREDITS,
                TOKENS,
                PROMPT_TOKENS,
                COMPLETION_TOKENS,
                USERS,
                TOTAL_RATINGS,
                SUM_RATINGS,
                CONCURRENCY_COUNT,
                SUM_CONCURRENCY,
                MAX_CONCURRENCY,
                FIRST_RUN,
                LAST_RUN,
            ],
        },
        Part {
            source: ERRORS,
            columns: &[
                TOTAL_ERRORS,
                count(
                    "critical_errors",
                    "count(*) FILTER (WHERE r.error_severity = 'critical')",
                ),
            ],
        },
        Part {
            source: FEEDBACK,
            columns: &[TOTAL_FEEDBACK, SUM_FEEDBACK],
        },
        Part {
            source: QUEUE,
            columns: &[
                count("queue_arrivals", "count(*)"),
                quantiles(
                    "queue_latency_sketch",
                    "analytics.percentile_agg(extract(epoch FROM r.started_at - r.queued_at)::double precision)",
                ),
                quantiles(
                    "total_latency_sketch",
                    "analytics.percentile_agg(extract(epoch FROM r.completed_at - r.queued_at)::double precision)",
                ),
            ],
        },
        Part {
            source: DEPARTURES,
            columns: &[count("queue_departures", "count(*)")],
        },
    ],
    derived: &[
        RUNTIME_LATENCY[0],
        RUNTIME_LATENCY[1],
        RUNTIME_LATENCY[2],
        RUNTIME_LATENCY[3],
        RUNTIME_LATENCY[4],
        RUNTIME_LATENCY[5],
        QUEUE_LATENCY[0],
        QUEUE_LATENCY[1],
        QUEUE_LATENCY[2],
        QUEUE_LATENCY[3],
        QUEUE_LATENCY[4],
        QUEUE_LATENCY[5],
        TOTAL_LATENCY[0],
        TOTAL_LATENCY[1],
        TOTAL_LATENCY[2],
        TOTAL_LATENCY[3],
        TOTAL_LATENCY[4],
        TOTAL_LATENCY[5],
        UNIQUE_USERS,
    ],
};

const AGENT_MODEL_USAGE: Rollup = Rollup {
    name: "agent_model_usage",
    comment: "Which models the agents of a workspace, or one of them, used from from_time to to_time: one row per agent, \
              model, provider and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have \
              changed since. columns, by_agent, agents and errors: as agent_performance_buckets.",
    rows: 100,
    entity: Some(Entity::Agent),
    dimensions: &[
        Dimension {
            name: "model_name",
            raw: "coalesce(r.model_name, 'unknown')",
            kind: "text",
        },
        Dimension {
            name: "model_provider",
            raw: "coalesce(r.model_provider, 'unknown')",
            kind: "text",
        },
    ],
    condition: None,
    base: Level {
        table: "agent_model_usage_hourly",
        width: HOUR,
    },
    days: Some(Level {
        table: "agent_model_usage",
        width: DAY,
    }),
    minutes: None,
    parts: &[Part {
        source: RUNS,
        columns: &[
            count("total_calls", "count(*)"),
            count(
                "successful_calls",
                "count(*) FILTER (WHERE r.status = 'completed')",
            ),
            count(
                "failed_calls",
                "count(*) FILTER (WHERE r.status IN ('failed', 'timeout'))",
            ),
            count("finished_calls", FINISHED),
            CREDITS,
            TOKENS,
            PROMPT_TOKENS,
            COMPLETION_TOKENS,
            RUNTIMES,
        ],
    }],
    derived: &[AVG_RUNTIME, P95_RUNTIME],
};

const USER_USAGE: Rollup = Rollup {
    name: "user_usage",
    comment: "What the agents of a workspace, or one of them, did for each user from from_time to to_time: one row per agent, \
              user and step (whole days; NULL: the whole time). From rollups of days; the parts of days at the edges of the \
              window, and what has changed since, from raw rows. columns, by_agent, agents and errors: as \
              agent_performance_buckets, the step being of whole days.",
    rows: 1000,
    entity: Some(Entity::Agent),
    dimensions: &[Dimension {
        name: "user_id",
        raw: "r.user_id",
        kind: "uuid",
    }],
    condition: Some("r.user_id IS NOT NULL"),
    base: Level {
        table: "user_usage_daily",
        width: DAY,
    },
    days: None,
    minutes: None,
    parts: &[Part {
        source: RUNS,
        columns: &[
            TOTAL_RUNS,
            SUCCESSFUL_RUNS,
            FAILED_RUNS,
            count("finished_runs", FINISHED),
            column(
                "runtime_stats",
                "analytics.stats_agg(r.runtime_seconds)",
                "analytics.stats_summary",
                Merge::Sketch,
            ),
            CREDITS,
            TOKENS,
            TOTAL_RATINGS,
            SUM_RATINGS,
            FIRST_RUN,
            LAST_RUN,
        ],
    }],
    derived: &[],
};

const ERROR_SUMMARY: Rollup = Rollup {
    name: "error_summary",
    comment: "Errors of the agents of a workspace, or of one of them, from from_time to to_time: one row per agent, category, \
              severity and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have changed \
              since. columns, by_agent, agents and errors: as agent_performance_buckets.",
    rows: 100,
    entity: Some(Entity::Agent),
    dimensions: &[
        Dimension {
            name: "error_category",
            raw: "r.error_category",
            kind: "text",
        },
        Dimension {
            name: "error_severity",
            raw: "r.error_severity",
            kind: "text",
        },
    ],
    condition: None,
    base: Level {
        table: "error_summary_hourly",
        width: HOUR,
    },
    days: Some(Level {
        table: "error_summary_daily",
        width: DAY,
    }),
    minutes: None,
    parts: &[Part {
        source: ERRORS,
        columns: &[
            TOTAL_ERRORS,
            count(
                "recovered_errors",
                "count(*) FILTER (WHERE r.auto_recovered)",
            ),
            count("recovery_attempts", "coalesce(sum(r.recovery_attempts), 0)"),
            count("affected_users", "coalesce(sum(r.affected_users), 0)"),
            quantiles(
                "recovery_sketch",
                "analytics.percentile_agg(r.recovery_time_seconds)",
            ),
            distinct("users_sketch", "analytics.distinct_agg(r.user_id)"),
            first("first_error_at", "min(r.occurred_at)"),
            last("last_error_at", "max(r.occurred_at)"),
        ],
    }],
    derived: &[("avg_recovery_seconds", "analytics.mean(f.recovery_sketch)")],
};

pub const ROLLUPS: &[Rollup] = &[
    AGENT_PERFORMANCE,
    EXECUTION_METRICS,
    AGENT_MODEL_USAGE,
    USER_USAGE,
    ERROR_SUMMARY,
    #[cfg(feature = "pg_test")]
    super::trial::USER_VISITS,
    #[cfg(feature = "pg_test")]
    super::trial::INCOME,
];
