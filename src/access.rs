//! Who may see what: the one question that row security and every function of the API ask.

mod gateway;
pub mod members;
pub mod row_security;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

use self::row_security::passes_row_security;
use crate::errors::{given, raise};
use crate::roles::as_role;
use crate::workspaces::require_workspace;
pub use ::tokens::Level;

/// A person for whom this session speaks, known by a verified claim and not by a database role.
pub struct Identity {
    pub user_id: Option<pgrx::Uuid>,
    pub workspace_ids: Vec<pgrx::Uuid>,
    pub level: Level,
}

/// The workspaces in which the caller has at least a level.
#[pg_extern(sql = false)]
fn accessible_workspaces(minimum_level: &str) -> SetOfIterator<'static, pgrx::Uuid> {
    SetOfIterator::new(workspaces_of_caller(known_level(minimum_level)))
}

/// The only place that decides. Whoever speaks for a person has what the person has, and nothing of the role's own.
pub fn workspaces_of_caller(minimum: Level) -> Vec<pgrx::Uuid> {
    match identity_of_caller() {
        Some(identity) if identity.level < minimum => Vec::new(),
        Some(identity) => identity.workspace_ids,
        None => access_of_caller().workspaces_from(minimum),
    }
}

/// A token that was verified here counts more than what a gateway says.
fn identity_of_caller() -> Option<Identity> {
    if let Some(token) = crate::tokens::identity::identity() {
        return Some(Identity {
            user_id: Some(token.user_id),
            workspace_ids: token.workspace_ids,
            level: token.level,
        });
    }
    access_of_caller().gateway.map(gateway::identity)
}

fn access_of_caller() -> std::rc::Rc<members::Access> {
    // SAFETY: reads a variable of this backend.
    members::access_of(unsafe { pg_sys::GetUserId() })
}

/// The user for whom this session speaks.
#[pg_extern(sql = false)]
pub fn current_user_id() -> Option<pgrx::Uuid> {
    identity_of_caller().and_then(|identity| identity.user_id)
}

/// The highest level that the caller has in all workspaces it can read; none where it can read none.
pub fn common_level() -> Option<Level> {
    if passes_row_security() {
        return Some(Level::Owner);
    }
    let readable = workspaces_of_caller(Level::Viewer).len();
    [Level::Owner, Level::Admin, Level::Member, Level::Viewer]
        .into_iter()
        .find(|level| readable > 0 && workspaces_of_caller(*level).len() == readable)
}

#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
fn require_level(workspace_id: Option<pgrx::Uuid>, minimum_level: Option<&str>) {
    require_at_least(workspace_id, given(minimum_level, "minimum_level"));
}

pub fn require_at_least(workspace_id: Option<pgrx::Uuid>, minimum_level: &str) {
    let minimum = known_level(minimum_level);
    require_workspace(workspace_id);
    if passes_row_security() {
        return;
    }
    // Compared here and not in SQL, where the caller's search_path could bring another = along.
    if !workspace_id.is_some_and(|wanted| workspaces_of_caller(minimum).contains(&wanted)) {
        crate::audit::log_refusal(minimum_level, workspace_id);
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("this needs the level {minimum_level} in the workspace"),
            "Ask an owner of the workspace for it: SELECT analytics.grant_access(...).",
        )
    }
}

/// Writes a membership with the rights of the tables' owner, for a caller who is an owner of the workspace.
#[pg_extern(schema = "analytics_internal")]
fn change_member(
    workspace_id: Option<pgrx::Uuid>,
    database_role: Option<&str>,
    access_level: Option<&str>,
    user_id: Option<pgrx::Uuid>,
) {
    let workspace_id = given(workspace_id, "workspace_id");
    let database_role = given(database_role, "database_role");
    require_at_least(Some(workspace_id), "owner");
    let arguments = [
        workspace_id.into(),
        database_role.into(),
        access_level.into(),
        user_id.into(),
        crate::audit::caller().into(),
    ];
    as_role(members::owner(), || {
        Spi::run_with_args(
            "SELECT analytics_internal.apply_member_change($1, $2, $3, $4, $5)",
            &arguments,
        )
        .unwrap_or_report();
    });
    crate::audit::record(&crate::audit::Entry {
        action: access_level.map_or("revoke_access", |_| "grant_access"),
        workspace_id: Some(workspace_id),
        target: Some(database_role),
        detail: serde_json::json!({"level": access_level, "user_id": user_id.map(|id| id.to_string())}),
        ..crate::audit::Entry::default()
    });
}

fn known_level(word: &str) -> Level {
    Level::from_name(word).unwrap_or_else(|| {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("access_level \"{word}\" is not allowed: it is not a level of access"),
            "Use one of viewer, member, admin, owner.",
        )
    })
}

/// Removes what ANALYZE has kept about a column, for the owner of its table.
#[pg_extern(schema = "analytics_internal")]
fn drop_statistics(relation: pg_sys::Oid, column_number: i16) {
    // SAFETY: look-ups that accept what does not exist; RemoveStatistics deletes rows of the catalogue, none for none.
    unsafe {
        let owner = crate::setup::relation_owner(relation);
        if !pg_sys::has_privs_of_role(pg_sys::GetUserId(), owner) {
            raise(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                "only the owner of a table may remove its statistics",
                "Call it as the role that called analytics.setup().",
            )
        }
        if column_number > 0 {
            pg_sys::RemoveStatistics(relation, column_number);
        }
    }
}
