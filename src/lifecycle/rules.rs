//! The rules of a workspace: its own, or the default set of the crate.

use lifecycle::rules::{
    Comparison, DEFAULT_GUARDS, DEFAULT_STATES, DEFAULT_TRANSITIONS, METRICS, State, validate,
};
use pgrx::datum::Interval;
use pgrx::prelude::*;

use super::owner;
use crate::errors::{given, raise};
use crate::query::{change_rows, change_rows_kept};
use crate::roles::{as_role, may_act_as};

/// What a transition asks for.
#[derive(Clone)]
pub struct Rule {
    pub to: String,
    pub access_level: String,
    pub required_approvals: i32,
    pub cooldown: Option<Interval>,
    pub reason_required: bool,
    pub guarded: bool,
}

/// The transitions out of a state, as the owner of the tables sees them. `own`: the workspace has rules of its own.
pub fn rules_from(workspace: pgrx::Uuid, own: bool, from: &str) -> Vec<Rule> {
    if !own {
        return DEFAULT_TRANSITIONS
            .iter()
            .filter(|transition| transition.from == from)
            .map(|transition| Rule {
                to: transition.to.to_owned(),
                access_level: "admin".to_owned(),
                required_approvals: 0,
                cooldown: None,
                reason_required: transition.reason_required,
                guarded: DEFAULT_GUARDS
                    .iter()
                    .any(|guard| guard.from == from && guard.to == transition.to),
            })
            .collect();
    }
    let sql = "SELECT t.to_state, t.access_level, t.required_approvals, \
                      nullif(t.cooldown, '0'::pg_catalog.interval), t.reason_required, \
                      EXISTS (SELECT FROM analytics.lifecycle_guards AS g \
                              WHERE g.workspace_id = t.workspace_id AND g.from_state = t.from_state \
                                AND g.to_state = t.to_state) \
               FROM analytics.lifecycle_transitions AS t \
               WHERE t.workspace_id = $1 AND t.from_state = $2 ORDER BY t.to_state";
    change_rows_kept(sql, &[workspace.into(), from.into()], |row| Rule {
        to: row.get(1).unwrap_or_default(),
        access_level: row.get(2).unwrap_or_default(),
        required_approvals: row.get(3).unwrap_or(0),
        cooldown: row.get(4),
        reason_required: row.get(5).unwrap_or(false),
        guarded: row.get(6).unwrap_or(true),
    })
}

/// The names of the states of a workspace, in the order of the way and then by name.
pub fn states_of(workspace: pgrx::Uuid) -> Vec<String> {
    let sql = "SELECT s.state FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1 \
               ORDER BY s.position NULLS LAST, s.state";
    let own: Vec<String> = change_rows_kept(sql, &[workspace.into()], |row| {
        row.get(1).unwrap_or_default()
    });
    if !own.is_empty() {
        return own;
    }
    DEFAULT_STATES
        .iter()
        .map(|state| state.name.to_owned())
        .collect()
}

/// Fails when the states and transitions of a workspace make no sense, or an agent is in a state that is not there.
#[pg_extern(schema = "analytics_internal")]
fn validate_lifecycle(workspace_id: pgrx::Uuid) {
    let states: Vec<(String, bool)> = change_rows(
        "SELECT s.state, s.terminal FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1 ORDER BY s.state",
        &[workspace_id.into()],
        |row| (row.get(1).unwrap_or_default(), row.get(2).unwrap_or(false)),
    );
    let transitions: Vec<(String, String)> = change_rows(
        "SELECT t.from_state, t.to_state FROM analytics.lifecycle_transitions AS t WHERE t.workspace_id = $1 \
         ORDER BY t.from_state, t.to_state",
        &[workspace_id.into()],
        |row| {
            (
                row.get(1).unwrap_or_default(),
                row.get(2).unwrap_or_default(),
            )
        },
    );
    let states: Vec<State> = states
        .iter()
        .map(|(name, terminal)| State {
            name,
            terminal: *terminal,
        })
        .collect();
    let transitions: Vec<(&str, &str)> = transitions
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    if let Err(problem) = validate(&states, &transitions) {
        raise(
            PgSqlErrorCode::ERRCODE_CHECK_VIOLATION,
            problem.to_string(),
            problem.hint(),
        )
    }

    let known = states_of(workspace_id);
    let in_use: Vec<(String, i64)> = change_rows(
        "SELECT a.lifecycle_state, count(*) FROM analytics.agents AS a WHERE a.workspace_id = $1 GROUP BY 1 ORDER BY 1",
        &[workspace_id.into()],
        |row| (row.get(1).unwrap_or_default(), row.get(2).unwrap_or(0)),
    );
    if let Some((state, agents)) = in_use.into_iter().find(|(state, _)| !known.contains(state)) {
        raise(
            PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
            format!("state \"{state}\" cannot go while agents are in it ({agents})"),
            "Keep the state until they have left it.",
        )
    }
}

/// Replaces the rules of a workspace as the owner of the tables, for an owner of the workspace.
#[pg_extern(schema = "analytics_internal", name = "replace_lifecycle")]
fn replace_lifecycle_text(workspace_id: Option<pgrx::Uuid>, rules: Option<&str>) {
    let workspace_id = given(workspace_id, "workspace_id");
    crate::access::require_at_least(Some(workspace_id), "owner");
    // The rules are checked by deferred triggers, which would run with the rights of a superuser.
    if may_act_as(owner()) {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "the tables belong to another role",
            "Run configure_lifecycle() as the owner of the tables, or as an owner of the workspace.",
        )
    }
    // What this library cannot read, apply_lifecycle() refuses.
    let document: Option<serde_json::Value> =
        rules.and_then(|rules| serde_json::from_str(rules).ok());
    let length = |key: &str| {
        document
            .as_ref()
            .and_then(|document| document.get(key))
            .and_then(|list| list.as_array())
            .map(Vec::len)
    };
    let detail =
        serde_json::json!({"states": length("states"), "transitions": length("transitions")});
    as_role(owner(), || {
        lock_rules(workspace_id, true);
        change_rows(
            "SELECT analytics_internal.apply_lifecycle($1, $2::jsonb)",
            &[workspace_id.into(), rules.into()],
            |_| (),
        );
    });
    crate::audit::record(&crate::audit::Entry {
        action: "configure_lifecycle",
        workspace_id: Some(workspace_id),
        detail,
        ..crate::audit::Entry::default()
    });
}

/// Rules change alone: nobody enters a state while it is being removed. Held to the end of the transaction.
pub fn lock_rules(workspace: pgrx::Uuid, exclusive: bool) {
    let bytes = workspace.as_bytes();
    let (high, low) = bytes.split_at(8);
    let word = |part: &[u8]| {
        part.iter()
            .fold(0_i64, |key, byte| (key << 8) | i64::from(*byte))
    };
    // Another key than that of other locks on the same workspace.
    let key = word(high) ^ word(low).rotate_left(17) ^ 0x6c69_6665;
    let sql = if exclusive {
        "SELECT pg_catalog.pg_advisory_xact_lock($1)"
    } else {
        "SELECT pg_catalog.pg_advisory_xact_lock_shared($1)"
    };
    change_rows_kept(sql, &[key.into()], |_| ());
}

#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn default_lifecycle_states() -> TableIterator<
    'static,
    (
        name!(state, &'static str),
        name!(position, Option<i32>),
        name!(terminal, bool),
        name!(description, &'static str),
    ),
> {
    TableIterator::new(DEFAULT_STATES.iter().map(|state| {
        (
            state.name,
            state.position,
            state.terminal,
            state.description,
        )
    }))
}

#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn default_lifecycle_transitions() -> TableIterator<
    'static,
    (
        name!(from_state, &'static str),
        name!(to_state, &'static str),
        name!(reason_required, bool),
    ),
> {
    TableIterator::new(
        DEFAULT_TRANSITIONS
            .iter()
            .map(|t| (t.from, t.to, t.reason_required)),
    )
}

#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn default_lifecycle_guards() -> TableIterator<
    'static,
    (
        name!(from_state, &'static str),
        name!(to_state, &'static str),
        name!(metric, &'static str),
        name!(threshold, Option<f64>),
        name!(timeframe, &'static str),
    ),
> {
    TableIterator::new(DEFAULT_GUARDS.iter().map(|guard| {
        (
            guard.from,
            guard.to,
            guard.metric,
            guard.threshold,
            guard.timeframe,
        )
    }))
}

/// The vocabulary of guards: `>=`, `<=`, or NULL for a metric without threshold.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn lifecycle_metrics() -> TableIterator<
    'static,
    (
        name!(metric, &'static str),
        name!(comparison, Option<&'static str>),
    ),
> {
    TableIterator::new(METRICS.iter().map(|(metric, comparison)| {
        let comparison = match comparison {
            Comparison::AtLeast => Some(">="),
            Comparison::AtMost => Some("<="),
            Comparison::Holds => None,
        };
        (*metric, comparison)
    }))
}
