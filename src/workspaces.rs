//! The first thing that every function of the API asks: is this a workspace, is this one of its agents?

use pgrx::prelude::*;

use crate::access::row_security::passes_row_security;
use crate::errors::raise;
use crate::query::{read_one, read_rows_kept};
use crate::setup::require_schema;

#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
pub fn require_workspace(workspace_id: Option<pgrx::Uuid>) {
    require_schema();
    let Some(workspace_id) = workspace_id else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "workspace_id is NULL",
            "Give the id of a workspace from analytics.workspaces.",
        )
    };
    // Every answer asks this first: planned anew each time, it would take as long as a small answer.
    let sql = "SELECT FROM analytics.workspaces AS w WHERE w.workspace_id = $1";
    let found = read_rows_kept(sql, || sql.to_owned(), &[workspace_id.into()], |_| ());
    if found.is_empty() {
        raise_unknown_workspace(workspace_id)
    }
}

/// For a tenant, a workspace that does not exist and one that is not theirs are the same.
fn raise_unknown_workspace(workspace_id: pgrx::Uuid) -> ! {
    if passes_row_security() {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("workspace \"{workspace_id}\" does not exist"),
            "Give the id of a workspace from analytics.workspaces.",
        )
    }
    crate::audit::log_refusal("viewer", Some(workspace_id));
    raise(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("no access to workspace \"{workspace_id}\""),
        "Ask an owner of the workspace for it: SELECT analytics.grant_access(...).",
    )
}

#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
pub fn require_agent(workspace_id: Option<pgrx::Uuid>, agent_id: Option<pgrx::Uuid>) {
    require_workspace(workspace_id);
    let (Some(workspace_id), Some(agent_id)) = (workspace_id, agent_id) else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "agent_id is NULL",
            "Give the id of an agent from analytics.list_agents().",
        )
    };
    let arguments = [workspace_id.into(), agent_id.into()];
    // Nearly always it is there; known_agents() would take ten times as long.
    let registered =
        "SELECT true FROM analytics.agents AS a WHERE a.workspace_id = $1 AND a.agent_id = $2";
    let found = read_rows_kept(
        "registered agent",
        || registered.to_owned(),
        &arguments,
        |_| (),
    );
    let known = !found.is_empty()
        || read_one::<bool>(
            "SELECT EXISTS (SELECT FROM analytics_internal.known_agents($1) AS a WHERE a.agent_id = $2)",
            &arguments,
        ) == Some(true);
    if !known {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("agent \"{agent_id}\" does not exist in workspace \"{workspace_id}\""),
            "Give the id of an agent from analytics.list_agents().",
        )
    }
}

/// Whether Postgres would accept this as a time zone.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
fn is_time_zone(name: &str) -> bool {
    // A name with a zero byte cannot come from Postgres text; without one there is a C string.
    let Ok(name) = std::ffi::CString::new(name) else {
        return false;
    };
    // SAFETY: a look-up by name that gives NULL for an unknown one.
    unsafe { !pg_sys::pg_tzset(name.as_ptr()).is_null() }
}
