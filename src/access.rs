//! Who may see what. The rows come from `workspace_members`, which its owner reads on behalf of the asker: a tenant
//! cannot read the table itself, and row security that asks itself would never end.

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::query::read_one;
use crate::roles::as_role;
use crate::setup::relation_owner;
use crate::workspaces::require_workspace;

/// The workspaces in which the current role has at least a level.
#[pg_extern(stable, parallel_safe)]
fn accessible_workspaces(
    minimum_level: default!(&str, "'viewer'"),
) -> SetOfIterator<'static, pgrx::Uuid> {
    SetOfIterator::new(workspaces_of_caller(minimum_level))
}

fn workspaces_of_caller(minimum_level: &str) -> Vec<pgrx::Uuid> {
    require_known_level(minimum_level);
    // SAFETY: reads the identity of the caller, before it is changed below.
    let caller = unsafe { pg_sys::GetUserId() };
    let sql = "SELECT DISTINCT m.workspace_id
               FROM analytics.workspace_members AS m
               JOIN pg_catalog.pg_roles AS r ON r.rolname = m.database_role
               WHERE pg_catalog.pg_has_role($1, r.oid, 'USAGE')
                 AND analytics_internal.is_member_role(r.oid)
                 AND analytics_internal.level_rank(m.access_level) >= analytics_internal.level_rank($2)";
    as_role(members_owner(), || {
        Spi::connect(|client| {
            let rows = client
                .select(sql, None, &[caller.into(), minimum_level.into()])
                .unwrap_or_report();
            rows.filter_map(|row| row.get(1).unwrap_or_report())
                .collect()
        })
    })
}

#[pg_extern(schema = "analytics_internal", stable, parallel_safe)]
fn require_level(workspace_id: Option<pgrx::Uuid>, minimum_level: &str) {
    require_workspace(workspace_id);
    if passes_row_security() {
        return;
    }
    // Compared here and not in SQL, where the caller's search_path could bring another = along.
    if !workspace_id.is_some_and(|wanted| workspaces_of_caller(minimum_level).contains(&wanted)) {
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
    workspace_id: pgrx::Uuid,
    database_role: &str,
    access_level: Option<&str>,
    user_id: Option<pgrx::Uuid>,
) {
    require_level(Some(workspace_id), "owner");
    let granted_by = Spi::get_one::<String>("SELECT current_user::text").unwrap_or_report();
    let arguments = [
        workspace_id.into(),
        database_role.into(),
        access_level.into(),
        user_id.into(),
        granted_by.into(),
    ];
    as_role(members_owner(), || {
        Spi::run_with_args(
            "SELECT analytics_internal.apply_member_change($1, $2, $3, $4, $5)",
            &arguments,
        )
        .unwrap_or_report();
    });
}

/// The owner of the tables, superusers and roles with BYPASSRLS see everything: Postgres says who does.
pub fn passes_row_security() -> bool {
    let sql = "SELECT NOT pg_catalog.row_security_active('analytics.workspaces'::regclass)";
    read_one::<bool>(sql, &[]) == Some(true)
}

fn require_known_level(level: &str) {
    if !["viewer", "member", "admin", "owner"].contains(&level) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("access_level \"{level}\" is not allowed: it is not a level of access"),
            "Use one of viewer, member, admin, owner.",
        )
    }
}

fn members_owner() -> pg_sys::Oid {
    // SAFETY: look-ups by name that accept names which do not exist; runs inside a transaction.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"analytics".as_ptr(), true);
        relation_owner(pg_sys::get_relname_relid(
            c"workspace_members".as_ptr(),
            schema,
        ))
    }
}
