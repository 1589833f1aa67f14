//! A source and a rollup that exist in tests of the engine only: visits of users, who have no agent.

use super::{Column, DAY, Dimension, Entity, HOUR, Level, Merge, Part, Rollup, Source};

pub const VISITS: Source = Source {
    bit: 1 << 30,
    table: "trial_visits",
    entity: Some(Entity::User),
    times: &["visited_at"],
    trigger: "capture_changes",
    is_partitioned: true,
};

/// A purse of the whole workspace: rows that belong to nobody.
pub const PAYMENTS: Source = Source {
    bit: 1 << 29,
    table: "trial_payments",
    entity: None,
    times: &["paid_at"],
    trigger: "capture_changes",
    is_partitioned: false,
};

pub const USER_VISITS: Rollup = Rollup {
    name: "trial_user_visits",
    comment: "What users did.",
    rows: 100,
    entity: Some(Entity::User),
    dimensions: &[Dimension {
        name: "feature",
        raw: "coalesce(r.feature, 'none')",
        kind: "text",
    }],
    condition: None,
    base: Level {
        table: "trial_user_visits_hourly",
        width: HOUR,
    },
    days: Some(Level {
        table: "trial_user_visits_daily",
        width: DAY,
    }),
    minutes: None,
    parts: &[Part {
        source: VISITS,
        columns: &[
            Column {
                name: "visits",
                raw: "count(*)",
                kind: "bigint",
                merge: Merge::Sum,
            },
            Column {
                name: "last_visit_at",
                raw: "max(r.visited_at)",
                kind: "timestamptz",
                merge: Merge::Greatest,
            },
        ],
    }],
    derived: &[],
};

pub const INCOME: Rollup = Rollup {
    name: "trial_income",
    comment: "What the workspace was paid.",
    rows: 100,
    entity: None,
    dimensions: &[],
    condition: None,
    base: Level {
        table: "trial_income_daily",
        width: DAY,
    },
    days: None,
    minutes: None,
    parts: &[Part {
        source: PAYMENTS,
        columns: &[
            Column {
                name: "payments",
                raw: "count(*)",
                kind: "bigint",
                merge: Merge::Sum,
            },
            Column {
                name: "paid",
                raw: "coalesce(sum(r.amount), 0)",
                kind: "numeric",
                merge: Merge::Sum,
            },
        ],
    }],
    derived: &[],
};
