//! The raw tables that rollups are computed from.

use super::{Entity, Source};

pub const RUNS: Source = Source {
    bit: 1,
    table: "agent_runs",
    entity: Some(Entity::Agent),
    times: &["started_at"],
    trigger: "capture_changes",
    is_partitioned: true,
};

pub const ERRORS: Source = Source {
    bit: 2,
    table: "agent_errors",
    entity: Some(Entity::Agent),
    times: &["occurred_at"],
    trigger: "capture_changes",
    is_partitioned: false,
};

pub const FEEDBACK: Source = Source {
    bit: 4,
    table: "agent_user_feedback",
    entity: Some(Entity::Agent),
    times: &["created_at"],
    trigger: "capture_changes",
    is_partitioned: false,
};

pub const QUEUE: Source = Source {
    bit: 8,
    table: "execution_queue",
    entity: Some(Entity::Agent),
    times: &["queued_at"],
    trigger: "capture_changes",
    is_partitioned: false,
};

/// The same rows, by the end of their wait.
pub const DEPARTURES: Source = Source {
    bit: 16,
    table: "execution_queue",
    entity: Some(Entity::Agent),
    times: &["started_at", "completed_at"],
    trigger: "capture_departures",
    is_partitioned: false,
};

/// Floors are kept and asked for in this order.
pub const SOURCES: &[Source] = &[
    RUNS,
    ERRORS,
    FEEDBACK,
    QUEUE,
    DEPARTURES,
    #[cfg(feature = "pg_test")]
    super::trial::VISITS,
    #[cfg(feature = "pg_test")]
    super::trial::PAYMENTS,
];
