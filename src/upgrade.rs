//! What the SQL of released versions calls and the present one does not. Postgres creates no function without its symbol,
//! and old functions call it until the extension is updated: between the exchange of the library and that, they say so.

use pgrx::prelude::*;

use crate::errors::raise;
use crate::sql_functions;

sql_functions! {
    // 0.1.0: record_audit() with a detail that was jsonb.
    fn record_audit_wrapper(_call) {
        raise_outdated()
    }

    // 0.1.0: replace_lifecycle() with rules that were jsonb.
    fn replace_lifecycle_wrapper(_call) {
        raise_outdated()
    }
}

fn raise_outdated() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the functions of shadower_analytics are older than its library",
        "Run ALTER EXTENSION shadower_analytics UPDATE; and then SELECT analytics.setup();",
    )
}
