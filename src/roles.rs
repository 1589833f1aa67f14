//! Doing a small, fixed thing with the rights of a table's owner, as Postgres does for foreign keys.

use pgrx::pg_sys;

/// Runs `action` as `role`. When it fails, the abort of the transaction puts the caller back.
///
/// The caller's search_path stays outside: an operator of theirs, found before Postgres's own, would run with the
/// rights of `role`.
pub fn as_role<T>(role: pg_sys::Oid, action: impl FnOnce() -> T) -> T {
    let mut caller = pg_sys::Oid::INVALID;
    let mut context = 0;
    // SAFETY: plain reads and writes of the backend's identity, which is valid inside a function call.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&raw mut caller, &raw mut context);
        #[allow(clippy::cast_possible_wrap)] // two flags in the low bits
        let local = context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
        pg_sys::SetUserIdAndSecContext(role, local);
    }
    let result = with_setting(c"search_path", c"pg_catalog, pg_temp", action);
    // SAFETY: as above; these are the values that were read.
    unsafe { pg_sys::SetUserIdAndSecContext(caller, context) };
    result
}

/// Runs `action` with a setting changed, whether or not the caller may change it. An error ends it as well.
pub fn with_setting<T>(name: &std::ffi::CStr, value: &std::ffi::CStr, action: impl FnOnce() -> T) -> T {
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
