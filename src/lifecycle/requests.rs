//! Transitions that need approval: requested, approved, rejected.

use pgrx::prelude::*;

use super::rules::{lock_rules, rules_from};
use super::transition::{Wish, perform};
use super::{Actor, owner, raise_argument};
use crate::access::require_at_least;
use crate::errors::raise;
use crate::query::change_rows;
use crate::roles::as_role;
use crate::workspaces::{require_agent, require_workspace};

/// A request, locked.
struct Request {
    agent_id: pgrx::Uuid,
    from: String,
    to: String,
    reason: String,
    status: String,
    requested_by: String,
    requested_user: Option<pgrx::Uuid>,
    required: i32,
    access_level: String,
}

#[pg_extern(sql = false)]
fn request_transition(
    workspace_id: Option<pgrx::Uuid>,
    agent_id: Option<pgrx::Uuid>,
    to_state: Option<&str>,
    reason: Option<&str>,
) -> pgrx::Uuid {
    require_agent(workspace_id, agent_id);
    require_at_least(workspace_id, "member");
    let (Some(workspace), Some(agent), Some(to)) = (workspace_id, agent_id, to_state) else {
        raise_argument(
            "to_state",
            "NULL",
            "it is not a state",
            "Give a state from allowed_transitions().",
        )
    };
    let reason = reason.unwrap_or_default().trim();
    if reason.is_empty() {
        raise_argument(
            "reason",
            "",
            "it is empty",
            "Say why: those who approve will read it.",
        )
    }
    let actor = Actor::current();
    let found = as_role(owner(), || {
        lock_rules(workspace, false);
        let sql = "SELECT a.lifecycle_state, \
                          EXISTS (SELECT FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1) \
                   FROM analytics.agents AS a WHERE a.workspace_id = $1 AND a.agent_id = $2 FOR NO KEY UPDATE OF a";
        let (state, own) = change_rows(sql, &[workspace.into(), agent.into()], |row| {
            (
                row.get::<String>(1).unwrap_or_default(),
                row.get::<bool>(2).unwrap_or(false),
            )
        })
        .pop()
        .unwrap_or_default();
        let rules = rules_from(workspace, own, &state);
        let Some(rule) = rules.iter().find(|rule| rule.to == to) else {
            let targets: Vec<&str> = rules.iter().map(|rule| rule.to.as_str()).collect();
            raise(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("an agent cannot go from {state} to {to}"),
                format!("From {state} it can go to {}.", targets.join(", ")),
            )
        };
        if rule.required_approvals == 0 {
            raise(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the transition from {state} to {to} needs no approval"),
                "Call analytics.transition_agent().",
            )
        }
        let sql = "INSERT INTO analytics.lifecycle_requests \
                       (workspace_id, agent_id, from_state, to_state, reason, requested_by, requested_user_id, \
                        required_approvals, access_level) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                   ON CONFLICT DO NOTHING RETURNING request_id";
        let arguments = [
            workspace.into(),
            agent.into(),
            state.as_str().into(),
            to.into(),
            reason.into(),
            actor.role.as_str().into(),
            actor.user_id.into(),
            rule.required_approvals.into(),
            rule.access_level.as_str().into(),
        ];
        change_rows(sql, &arguments, |row| row.get::<pgrx::Uuid>(1))
            .pop()
            .flatten()
    });
    found.unwrap_or_else(|| {
        raise(
            PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            format!("the transition to {to} has been asked for already"),
            "Look at analytics.lifecycle_requests; approve or reject that request first.",
        )
    })
}

#[pg_extern(sql = false)]
fn approve_transition(
    workspace_id: Option<pgrx::Uuid>,
    request_id: Option<pgrx::Uuid>,
    comment: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(status, String),
        name!(approvals, i32),
        name!(required_approvals, i32),
        name!(sequence, Option<i64>),
    ),
> {
    let (workspace, id) = arguments(workspace_id, request_id);
    let owner = owner();
    let request = as_role(owner, || lock(workspace, id));
    require_at_least(workspace_id, &request.access_level);
    let actor = Actor::current();
    let same_person = match (request.requested_user, actor.user_id) {
        (Some(asked), Some(approves)) => asked == approves,
        _ => request.requested_by == actor.role,
    };
    if same_person {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "who asks for a transition cannot approve it",
            "Let somebody else approve it.",
        )
    }
    let approvals = as_role(owner, || decide(workspace, id, &actor, "approved", comment));
    if approvals < request.required {
        return TableIterator::once(("pending".to_owned(), approvals, request.required, None));
    }
    as_role(owner, || close(workspace, id, "approved"));
    let wish = Wish {
        workspace_id: workspace,
        agent_id: request.agent_id,
        to: &request.to,
        reason: Some(&request.reason),
        force: false,
        from: Some(&request.from),
        idempotency_key: None,
        version: None,
    };
    let sequence = perform(&wish, &actor, owner).0;
    TableIterator::once(("done".to_owned(), approvals, request.required, sequence))
}

#[pg_extern(sql = false)]
fn reject_transition(
    workspace_id: Option<pgrx::Uuid>,
    request_id: Option<pgrx::Uuid>,
    comment: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(status, String),
        name!(approvals, i32),
        name!(required_approvals, i32),
        name!(sequence, Option<i64>),
    ),
> {
    let (workspace, id) = arguments(workspace_id, request_id);
    if comment.is_none_or(|comment| comment.trim().is_empty()) {
        raise_argument(
            "comment",
            "",
            "it is empty",
            "Say why the transition is rejected.",
        )
    }
    let owner = owner();
    let request = as_role(owner, || lock(workspace, id));
    let actor = Actor::current();
    // Who has asked may take it back; others need the level of the transition.
    if request.requested_by != actor.role {
        require_at_least(workspace_id, &request.access_level);
    }
    as_role(owner, || {
        let approvals = decide(workspace, id, &actor, "rejected", comment);
        close(workspace, id, "rejected");
        TableIterator::once(("rejected".to_owned(), approvals, request.required, None))
    })
}

fn arguments(
    workspace_id: Option<pgrx::Uuid>,
    request_id: Option<pgrx::Uuid>,
) -> (pgrx::Uuid, pgrx::Uuid) {
    require_workspace(workspace_id);
    require_at_least(workspace_id, "member");
    match (workspace_id, request_id) {
        (Some(workspace), Some(request)) => (workspace, request),
        _ => raise_unknown("NULL"),
    }
}

fn raise_unknown(request: &str) -> ! {
    raise_argument(
        "request_id",
        request,
        "there is no such request in the workspace",
        "Take one from analytics.lifecycle_requests.",
    )
}

/// The request, which must be open. Locks the agent first, as a transition does.
fn lock(workspace: pgrx::Uuid, request: pgrx::Uuid) -> Request {
    let arguments = [workspace.into(), request.into()];
    lock_rules(workspace, false);
    change_rows(
        "SELECT FROM analytics.agents AS a WHERE a.workspace_id = $1 AND a.agent_id IN \
             (SELECT r.agent_id FROM analytics.lifecycle_requests AS r WHERE r.workspace_id = $1 AND r.request_id = $2) \
         FOR NO KEY UPDATE",
        &arguments,
        |_| (),
    );
    let sql = "SELECT r.agent_id, r.from_state, r.to_state, r.reason, r.status, r.requested_by, \
                      r.requested_user_id, r.required_approvals, r.access_level \
               FROM analytics.lifecycle_requests AS r WHERE r.workspace_id = $1 AND r.request_id = $2 FOR UPDATE";
    let found = change_rows(sql, &arguments, |row| {
        Some(Request {
            agent_id: row.get(1)?,
            from: row.get(2)?,
            to: row.get(3)?,
            reason: row.get(4)?,
            status: row.get(5)?,
            requested_by: row.get(6)?,
            requested_user: row.get(7),
            required: row.get(8)?,
            access_level: row.get(9)?,
        })
    });
    let Some(found) = found.into_iter().flatten().next() else {
        raise_unknown(&request.to_string())
    };
    if found.status != "pending" {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("the request is {}", found.status),
            "Only a pending request can be approved or rejected: ask for the transition again.",
        )
    }
    found
}

/// Writes a decision and gives the number of approvals.
fn decide(
    workspace: pgrx::Uuid,
    request: pgrx::Uuid,
    actor: &Actor,
    decision: &str,
    comment: Option<&str>,
) -> i32 {
    let sql = "INSERT INTO analytics.lifecycle_approvals \
                   (workspace_id, request_id, decided_by, decided_user_id, decision, comment) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1";
    let arguments = [
        workspace.into(),
        request.into(),
        actor.role.as_str().into(),
        actor.user_id.into(),
        decision.into(),
        comment.into(),
    ];
    if change_rows(sql, &arguments, |_| ()).is_empty() {
        raise(
            PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            format!("\"{}\" has decided about this request already", actor.role),
            "Each approval must come from somebody else.",
        )
    }
    let sql = "SELECT count(*)::integer FROM analytics.lifecycle_approvals AS p \
               WHERE p.workspace_id = $1 AND p.request_id = $2 AND p.decision = 'approved'";
    change_rows(sql, &[workspace.into(), request.into()], |row| {
        row.get::<i32>(1)
    })
    .pop()
    .flatten()
    .unwrap_or(0)
}

fn close(workspace: pgrx::Uuid, request: pgrx::Uuid, status: &str) {
    let sql = "UPDATE analytics.lifecycle_requests AS r \
               SET status = $3, closed_at = CASE WHEN $3 = 'rejected' THEN pg_catalog.clock_timestamp() END \
               WHERE r.workspace_id = $1 AND r.request_id = $2";
    change_rows(
        sql,
        &[workspace.into(), request.into(), status.into()],
        |_| (),
    );
}
