//! Every setting of the extension, each with the prefix `analytics`, which nobody else may use.

use std::ffi::{CStr, CString};

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::prelude::*;

/// Says which authentication this session lives under, and nothing about it. Its value is no secret and no proof: the
/// identity is in the memory of the backend. But Postgres does for a setting what the identity needs: RESET ALL and
/// DISCARD ALL take it away, and parallel workers get a copy.
pub static SESSION_MARK: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub const SESSION_MARK_NAME: &CStr = c"analytics.session_mark";

/// Postgres calls it when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    GucRegistry::define_string_guc(
        SESSION_MARK_NAME,
        c"Mark of the authentication of this session.",
        c"Set by analytics.authenticate(). Resetting it ends the identity; setting it gives none.",
        &SESSION_MARK,
        GucContext::Suset,
        GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_FILE,
    );
    // SAFETY: the name is a constant; settings of ours are defined by now.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"analytics".as_ptr()) };
}
