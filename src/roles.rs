//! Acting as the owner of the tables: a small, fixed thing on behalf of somebody with fewer rights, as Postgres does for
//! foreign keys; or maintenance on behalf of somebody with more, as Postgres does for `REFRESH MATERIALIZED VIEW`.

use pgrx::pg_sys;

/// Runs `action` as `role`. When it fails, the abort of the transaction puts the caller back.
///
/// The caller's `search_path` stays outside: an operator of theirs, found before Postgres's own, would run with the
/// rights of `role`. Where the caller is the one with more rights, code of `role` (a trigger, say) must not gain them: it
/// may leave no deferred trigger and no temporary object behind, as in maintenance commands of Postgres.
pub fn as_role<T>(role: pg_sys::Oid, action: impl FnOnce() -> T) -> T {
    let mut flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE;
    if may_act_as(role) {
        flags |= pg_sys::SECURITY_RESTRICTED_OPERATION;
    }
    in_context(
        |_, context| (role, context | flags.cast_signed()),
        || with_setting(c"search_path", c"pg_catalog, pg_temp", action),
    )
}

/// Whether the caller is another role than this one, and has its rights: a superuser, or a member.
pub fn may_act_as(role: pg_sys::Oid) -> bool {
    // SAFETY: runs inside a function call; only a role that there is is asked about.
    unsafe {
        let caller = pg_sys::GetUserId();
        role != pg_sys::Oid::INVALID && role != caller && pg_sys::has_privs_of_role(caller, role)
    }
}

/// Within `as_role`, for a statement of Postgres that confines what it runs by itself, and needs temporary tables:
/// `REFRESH MATERIALIZED VIEW CONCURRENTLY`.
pub fn with_temporary_tables<T>(action: impl FnOnce() -> T) -> T {
    let confined = pg_sys::SECURITY_RESTRICTED_OPERATION.cast_signed();
    in_context(|role, context| (role, context & !confined), action)
}

/// Runs maintenance of tables that `owner` owns. Whoever may act as `owner` (a superuser, a member) does so: `owner` can
/// put a trigger on any of the tables, and it must not run with the rights of a superuser. Others stay who they are.
pub fn step_down_to<T>(owner: pg_sys::Oid, action: impl FnOnce() -> T) -> T {
    if may_act_as(owner) {
        as_role(owner, action)
    } else {
        action()
    }
}

/// Runs `action` with another role and security context, both made from the present ones.
fn in_context<T>(
    change: impl FnOnce(pg_sys::Oid, i32) -> (pg_sys::Oid, i32),
    action: impl FnOnce() -> T,
) -> T {
    let mut caller = pg_sys::Oid::INVALID;
    let mut context = 0;
    // SAFETY: plain reads and writes of the backend's identity, which is valid inside a function call.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&raw mut caller, &raw mut context);
        let (role, changed) = change(caller, context);
        pg_sys::SetUserIdAndSecContext(role, changed);
    }
    let result = action();
    // SAFETY: as above; these are the values that were read.
    unsafe { pg_sys::SetUserIdAndSecContext(caller, context) };
    result
}

/// Runs `action` with a setting changed, whether or not the caller may change it. An error ends it as well.
pub fn with_setting<T>(
    name: &std::ffi::CStr,
    value: &std::ffi::CStr,
    action: impl FnOnce() -> T,
) -> T {
    // SAFETY: a nested level of settings, closed below; an error unwinds it with the transaction.
    let level = unsafe {
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        level
    };
    let result = action();
    // SAFETY: closes the level opened above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    result
}
