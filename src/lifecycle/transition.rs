//! `transition_agent`: one atomic step from one state to another, with the rules of the workspace.

use std::fmt::Write;

use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::prelude::*;
use pgrx::{JsonB, pg_sys};
use serde_json::json;

use super::rules::{Rule, lock_rules, rules_from, states_of};
use super::triggers::Moving;
use super::{Actor, owner, raise_argument};
use crate::access::require_at_least;
use crate::errors::raise;
use crate::query::change_rows_kept;
use crate::roles::as_role;
use crate::workspaces::require_agent;

/// What is asked for.
pub struct Wish<'a> {
    pub workspace_id: pgrx::Uuid,
    pub agent_id: pgrx::Uuid,
    pub to: &'a str,
    pub reason: Option<&'a str>,
    pub force: bool,
    pub from: Option<&'a str>,
    pub idempotency_key: Option<&'a str>,
    pub version: Option<&'a str>,
}

/// An agent as it stands.
pub struct Standing {
    pub name: String,
    pub state: String,
    pub sequence: i64,
    pub since: Option<TimestampWithTimeZone>,
    /// The workspace has rules of its own.
    pub own_rules: bool,
}

/// One condition of a transition, and whether it holds.
pub struct Check {
    pub text: String,
    pub detail: serde_json::Value,
    pub passes: bool,
}

/// The row that `transition_agent` gives.
pub type Answer = (
    Option<i64>,
    String,
    String,
    Option<TimestampWithTimeZone>,
    bool,
    bool,
    bool,
    JsonB,
    Vec<String>,
);

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)] // that is its interface
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn transition_agent(
    workspace_id: Option<pgrx::Uuid>,
    agent_id: Option<pgrx::Uuid>,
    to_state: Option<&str>,
    reason: Option<&str>,
    dry_run: Option<bool>,
    force: Option<bool>,
    from_state: Option<&str>,
    idempotency_key: Option<&str>,
    version: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(sequence, Option<i64>),
        name!(from_state, String),
        name!(to_state, String),
        name!(occurred_at, Option<TimestampWithTimeZone>),
        name!(allowed, bool),
        name!(forced, bool),
        name!(repeated, bool),
        name!(guards, JsonB),
        name!(problems, Vec<String>),
    ),
> {
    require_agent(workspace_id, agent_id);
    let (Some(workspace_id), Some(agent_id)) = (workspace_id, agent_id) else {
        unreachable!("NULL was refused")
    };
    let wish = Wish {
        workspace_id,
        agent_id,
        to: to_state.unwrap_or_else(|| {
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "to_state is NULL",
                "Give a state from analytics.allowed_transitions().",
            )
        }),
        reason: reason.filter(|reason| !reason.trim().is_empty()),
        force: force.unwrap_or(false),
        from: from_state,
        idempotency_key: idempotency_key.inspect(|key| {
            if key.trim().is_empty() || key.len() > 200 {
                raise_argument(
                    "idempotency_key",
                    key,
                    "it is empty or longer than 200 bytes",
                    "Use a uuid, or the id of the request that asks for the transition.",
                )
            }
        }),
        version,
    };
    // Who may move no agent at all locks none.
    require_at_least(Some(workspace_id), "member");
    let actor = Actor::current();
    let owner = owner();
    if dry_run.unwrap_or(false) {
        let (standing, checks) = as_role(owner, || {
            let standing = look(&wish);
            let rule = rule_of(&wish, &standing);
            let checks = check(&wish, &standing, &rule);
            (standing, (rule, checks))
        });
        let (rule, mut checks) = checks;
        let needed = if wish.force {
            "owner"
        } else {
            rule.access_level.as_str()
        };
        require_at_least(Some(workspace_id), needed);
        if let Some(missing) = missing_reason(&wish, &rule) {
            checks.push(missing);
        }
        return TableIterator::once(answer(&standing, &wish, None, &checks, false));
    }
    TableIterator::once(perform(&wish, &actor, owner))
}

/// The step itself. Everything is read again once the agent is locked.
pub fn perform(wish: &Wish, actor: &Actor, owner: pg_sys::Oid) -> Answer {
    let (before, rule) = as_role(owner, || {
        let before = look(wish);
        lock(wish);
        let standing = look(wish);
        if let Some(event) = wish.idempotency_key.and_then(|key| earlier(wish, key)) {
            return (Err(event), None);
        }
        if before.sequence != standing.sequence || before.state != standing.state {
            raise(
                PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
                format!(
                    "agent \"{}\" was moved from {} to {} by another session meanwhile",
                    standing.name, before.state, standing.state
                ),
                "Look at its state and try again.",
            )
        }
        let rule = rule_of(wish, &standing);
        (Ok(standing), Some(rule))
    });
    let standing = match before {
        Ok(standing) => standing,
        Err(event) => return event.answer(wish),
    };
    let Some(rule) = rule else {
        unreachable!("there is a rule for an agent that stands somewhere")
    };

    let needed = if wish.force {
        "owner"
    } else {
        rule.access_level.as_str()
    };
    require_at_least(Some(wish.workspace_id), needed);
    if let Some(missing) = missing_reason(wish, &rule) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            missing.text,
            "Say why, in a sentence that will be understood in a year.",
        )
    }
    as_role(owner, || {
        let checks = check(wish, &standing, &rule);
        if !wish.force {
            require_all(wish, &standing, &checks);
        }
        let occurred_at = now_after(&standing);
        write(wish, actor, &standing, &checks, occurred_at);
        notify(wish, standing.sequence + 1);
        answer(&standing, wish, Some(occurred_at), &checks, true)
    })
}

fn look(wish: &Wish) -> Standing {
    let sql = "SELECT a.name, a.lifecycle_state, coalesce(e.sequence, 0), coalesce(e.occurred_at, a.created_at), \
                      EXISTS (SELECT FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1) \
               FROM analytics.agents AS a \
               LEFT JOIN LATERAL (SELECT l.sequence, l.occurred_at FROM analytics.agent_lifecycle_events AS l \
                                  WHERE l.workspace_id = $1 AND l.agent_id = $2 \
                                  ORDER BY l.sequence DESC LIMIT 1) AS e ON true \
               WHERE a.workspace_id = $1 AND a.agent_id = $2";
    let arguments = [wish.workspace_id.into(), wish.agent_id.into()];
    let find = || {
        change_rows_kept(sql, &arguments, |row| Standing {
            name: row.get(1).unwrap_or_default(),
            state: row.get(2).unwrap_or_default(),
            sequence: row.get(3).unwrap_or(0),
            since: row.get(4),
            own_rules: row.get(5).unwrap_or(false),
        })
        .pop()
    };
    find()
        .or_else(|| {
            // Met while another transaction was registering it, and not registered since.
            change_rows_kept(
                "INSERT INTO analytics.agents (workspace_id, agent_id, name, discovered, created_at) \
                 SELECT d.workspace_id, d.agent_id, d.agent_id::text, true, min(d.discovered_at) \
                 FROM analytics_internal.agent_discoveries AS d WHERE d.workspace_id = $1 AND d.agent_id = $2 \
                 GROUP BY 1, 2 ON CONFLICT DO NOTHING",
                &arguments,
                |_| (),
            );
            find()
        })
        .unwrap_or_else(|| {
            raise(
                PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
                format!("agent \"{}\" was removed by another session meanwhile", wish.agent_id),
                "Look whether it still exists.",
            )
        })
}

/// Locks the rules of the workspace against a change, then the agent.
fn lock(wish: &Wish) {
    lock_rules(wish.workspace_id, false);
    let sql = "SELECT FROM analytics.agents AS a WHERE a.workspace_id = $1 AND a.agent_id = $2 FOR NO KEY UPDATE";
    let arguments = [wish.workspace_id.into(), wish.agent_id.into()];
    change_rows_kept(sql, &arguments, |_| ());
}

/// The rule of the transition that is wished for; an error that says what there is instead.
pub fn rule_of(wish: &Wish, standing: &Standing) -> Rule {
    if let Some(expected) = wish.from
        && expected != standing.state
    {
        raise(
            PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
            format!(
                "agent \"{}\" is in state {}, not in {expected}",
                standing.name, standing.state
            ),
            "Look at its state and try again.",
        )
    }
    let rules = rules_from(wish.workspace_id, standing.own_rules, &standing.state);
    if let Some(rule) = rules.iter().find(|rule| rule.to == wish.to) {
        return rule.clone();
    }
    let known = states_of(wish.workspace_id);
    if !known.iter().any(|state| state == wish.to) {
        raise_argument(
            "to_state",
            wish.to,
            "it is not a state of the lifecycle",
            &format!("Use one of {}.", known.join(", ")),
        )
    }
    let targets: Vec<&str> = rules.iter().map(|rule| rule.to.as_str()).collect();
    let message = if wish.to == standing.state {
        format!(
            "agent \"{}\" is in state {} already",
            standing.name, standing.state
        )
    } else {
        format!(
            "agent \"{}\" cannot go from {} to {}",
            standing.name, standing.state, wish.to
        )
    };
    let hint = if targets.is_empty() {
        format!("{} is a final state.", standing.state)
    } else {
        format!(
            "From {} it can go to {}.",
            standing.state,
            targets.join(", ")
        )
    };
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        message,
        hint,
    )
}

fn missing_reason(wish: &Wish, rule: &Rule) -> Option<Check> {
    if wish.reason.is_some() || !(rule.reason_required || wish.force) {
        return None;
    }
    let why = if wish.force {
        "a forced transition"
    } else {
        "this transition"
    };
    Some(Check {
        text: format!("reason is empty: {why} needs one"),
        detail: json!({"check": "reason", "passes": false}),
        passes: false,
    })
}

/// Every condition but level and reason, each with what it found. Runs with the rights of the tables' owner.
fn check(wish: &Wish, standing: &Standing, rule: &Rule) -> Vec<Check> {
    let mut checks = Vec::new();
    if rule.guarded {
        guards(wish, &mut checks);
    }
    if let Some(cooldown) = rule.cooldown {
        checks.extend(cooled_down(wish, cooldown));
    }
    if rule.required_approvals > 0 {
        let sql = "SELECT count(*) FROM analytics.lifecycle_requests AS r \
                   WHERE r.workspace_id = $1 AND r.agent_id = $2 AND r.from_state = $3 AND r.to_state = $4 \
                     AND r.status = 'approved'";
        let arguments = [
            wish.workspace_id.into(),
            wish.agent_id.into(),
            standing.state.as_str().into(),
            wish.to.into(),
        ];
        let approved: i64 = change_rows_kept(sql, &arguments, |row| row.get(1))
            .pop()
            .flatten()
            .unwrap_or(0);
        checks.push(Check {
            text: format!("{} approvals are needed", rule.required_approvals),
            detail: json!({"check": "approvals", "required": rule.required_approvals, "passes": approved > 0}),
            passes: approved > 0,
        });
    }
    checks
}

fn guards(wish: &Wish, checks: &mut Vec<Check>) {
    let sql = "SELECT g.metric, g.timeframe, g.comparison, g.threshold, g.value, g.passes \
               FROM analytics_internal.evaluate_guards($1, $2, $3) AS g ORDER BY g.metric, g.timeframe";
    let arguments = [
        wish.workspace_id.into(),
        wish.agent_id.into(),
        wish.to.into(),
    ];
    checks.extend(change_rows_kept(sql, &arguments, |row| {
        let metric: String = row.get(1).unwrap_or_default();
        let timeframe: String = row.get(2).unwrap_or_default();
        let comparison: Option<String> = row.get(3);
        let threshold: Option<f64> = row.get(4);
        let value: Option<f64> = row.get(5);
        let passes = row.get(6).unwrap_or(false);
        let mut text = match (metric.as_str(), value) {
            ("owner_present", _) => "owner_present: nobody answers for the agent".to_owned(),
            (_, Some(value)) => format!("{metric} ({timeframe}) is {}", rounded(value)),
            (_, None) => format!("{metric} ({timeframe}) is not known"),
        };
        if let (Some(comparison), Some(threshold)) = (&comparison, threshold) {
            let word = if comparison == ">=" { "at least" } else { "at most" };
            // Writing to a String cannot fail.
            let _ = write!(text, ", {word} {threshold} is needed");
        }
        let detail = json!({
            "check": metric, "timeframe": timeframe, "comparison": comparison, "threshold": threshold,
            "value": value, "passes": passes,
        });
        Check { text, detail, passes }
    }));
}

/// Four digits behind the point at most.
fn rounded(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn cooled_down(wish: &Wish, cooldown: Interval) -> Option<Check> {
    let sql = "SELECT max(e.occurred_at) + $4 <= pg_catalog.clock_timestamp(), (max(e.occurred_at) + $4)::text \
               FROM analytics.agent_lifecycle_events AS e \
               WHERE e.workspace_id = $1 AND e.agent_id = $2 AND e.to_state = $3 AND e.event_type = 'transition'";
    let arguments = [
        wish.workspace_id.into(),
        wish.agent_id.into(),
        wish.to.into(),
        cooldown.into(),
    ];
    let (passes, free_at) = change_rows_kept(sql, &arguments, |row| {
        (row.get::<bool>(1), row.get::<String>(2).unwrap_or_default())
    })
    .pop()?;
    // NULL: it has never been there.
    let passes = passes.unwrap_or(true);
    Some(Check {
        text: format!("it may enter {} again from {free_at} on", wish.to),
        detail: json!({"check": "cooldown", "free_at": free_at, "passes": passes}),
        passes,
    })
}

fn require_all(wish: &Wish, standing: &Standing, checks: &[Check]) {
    let failing: Vec<&str> = checks
        .iter()
        .filter(|check| !check.passes)
        .map(|check| check.text.as_str())
        .collect();
    if failing.is_empty() {
        return;
    }
    let hint = if checks
        .iter()
        .any(|c| !c.passes && c.detail.get("check") == Some(&json!("approvals")))
    {
        "Ask for it with analytics.request_transition(); explain_transition() shows every condition."
    } else {
        "analytics.explain_transition() shows every condition; an owner may pass force => true with a reason."
    };
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!(
            "agent \"{}\" may not go from {} to {}: {}",
            standing.name,
            standing.state,
            wish.to,
            failing.join("; ")
        ),
        hint,
    )
}

/// The time of the event: now, which must not be before the last one.
fn now_after(standing: &Standing) -> TimestampWithTimeZone {
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let last = standing.since.map_or(i64::MIN, i64::from);
    match TimestampWithTimeZone::try_from(now) {
        Ok(time) if now >= last => time,
        _ => raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "the clock of the server is behind the last event of agent \"{}\"",
                standing.name
            ),
            "Correct the clock, or wait until it has passed that time.",
        ),
    }
}

fn write(
    wish: &Wish,
    actor: &Actor,
    standing: &Standing,
    checks: &[Check],
    occurred_at: TimestampWithTimeZone,
) {
    let _moving = Moving::begin();
    let sql = "WITH moved AS ( \
                   UPDATE analytics.agents AS a SET lifecycle_state = $5, updated_at = $6 \
                   WHERE a.workspace_id = $1 AND a.agent_id = $2), \
               used AS ( \
                   UPDATE analytics.lifecycle_requests AS r \
                   SET status = CASE WHEN r.status = 'approved' AND r.from_state = $4 AND r.to_state = $5 \
                                     THEN 'done' ELSE 'superseded' END, closed_at = $6 \
                   WHERE r.workspace_id = $1 AND r.agent_id = $2 AND r.status IN ('pending', 'approved')) \
               INSERT INTO analytics.agent_lifecycle_events \
                   (workspace_id, agent_id, sequence, event_type, from_state, to_state, occurred_at, actor_role, \
                    actor_user_id, reason, forced, guards, idempotency_key, version) \
               VALUES ($1, $2, $3, 'transition', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let guards = JsonB(checks.iter().map(|check| check.detail.clone()).collect());
    let arguments = [
        wish.workspace_id.into(),
        wish.agent_id.into(),
        (standing.sequence + 1).into(),
        standing.state.as_str().into(),
        wish.to.into(),
        occurred_at.into(),
        actor.role.as_str().into(),
        actor.user_id.into(),
        wish.reason.into(),
        wish.force.into(),
        guards.into(),
        wish.idempotency_key.into(),
        wish.version.into(),
    ];
    change_rows_kept(sql, &arguments, |_| ());
}

/// Whoever listens learns that something happened, and reads what it was under their own rights.
fn notify(wish: &Wish, sequence: i64) {
    let channel = format!(
        "analytics_lifecycle_{}",
        wish.workspace_id.to_string().replace('-', "")
    );
    let payload = json!({"agent_id": wish.agent_id.to_string(), "sequence": sequence}).to_string();
    change_rows_kept(
        "SELECT pg_catalog.pg_notify($1, $2)",
        &[channel.as_str().into(), payload.as_str().into()],
        |_| (),
    );
}

/// An event that an earlier call with the same key has written.
pub struct Earlier {
    sequence: i64,
    from: String,
    to: String,
    occurred_at: Option<TimestampWithTimeZone>,
    forced: bool,
    guards: Option<JsonB>,
}

fn earlier(wish: &Wish, key: &str) -> Option<Earlier> {
    let sql = "SELECT e.sequence, e.from_state, e.to_state, e.occurred_at, e.forced, e.guards \
               FROM analytics.agent_lifecycle_events AS e \
               WHERE e.workspace_id = $1 AND e.agent_id = $2 AND e.idempotency_key = $3";
    let event = change_rows_kept(
        sql,
        &[wish.workspace_id.into(), wish.agent_id.into(), key.into()],
        |row| Earlier {
            sequence: row.get(1).unwrap_or(0),
            from: row.get(2).unwrap_or_default(),
            to: row.get(3).unwrap_or_default(),
            occurred_at: row.get(4),
            forced: row.get(5).unwrap_or(false),
            guards: row.get(6),
        },
    )
    .pop()?;
    if event.to != wish.to {
        raise_argument(
            "idempotency_key",
            key,
            &format!("it was used for the transition to {}", event.to),
            "Use a key of its own for each transition.",
        )
    }
    Some(event)
}

impl Earlier {
    fn answer(self, wish: &Wish) -> Answer {
        (
            Some(self.sequence),
            self.from,
            wish.to.to_owned(),
            self.occurred_at,
            true,
            self.forced,
            true,
            self.guards.unwrap_or(JsonB(json!([]))),
            Vec::new(),
        )
    }
}

fn answer(
    standing: &Standing,
    wish: &Wish,
    occurred_at: Option<TimestampWithTimeZone>,
    checks: &[Check],
    done: bool,
) -> Answer {
    let is_reason = |check: &Check| check.detail.get("check") == Some(&json!("reason"));
    let stops = |check: &&Check| !check.passes && (!wish.force || is_reason(check));
    let allowed = !checks.iter().any(|check| stops(&check));
    (
        done.then_some(standing.sequence + 1),
        standing.state.clone(),
        wish.to.to_owned(),
        occurred_at,
        allowed,
        wish.force,
        false,
        JsonB(checks.iter().map(|check| check.detail.clone()).collect()),
        checks
            .iter()
            .filter(|check| !check.passes)
            .map(|check| check.text.clone())
            .collect(),
    )
}
