//! Whether row security holds back anything from the caller.

use pgrx::pg_sys;

use crate::setup::table_named;

/// The owner of the tables, superusers and roles with BYPASSRLS see everything: Postgres says who does.
pub fn passes_row_security() -> bool {
    row_security(true)
}

/// The same, but `row_security = off` is the error that it would be in a table.
pub fn passes_row_security_or_fails() -> bool {
    row_security(false)
}

fn row_security(no_error: bool) -> bool {
    // SAFETY: a look-up for a table of ours; for one that is missing the answer is that there is no row security.
    let answer =
        unsafe { pg_sys::check_enable_rls(workspaces_table(), pg_sys::Oid::INVALID, no_error) };
    u32::try_from(answer) != Ok(pg_sys::CheckEnableRlsResult::RLS_ENABLED)
}

fn workspaces_table() -> pg_sys::Oid {
    table_named(c"analytics", c"workspaces")
}
