//! What the SQL of released versions calls and the present one does not. Postgres creates no function without its symbol,
//! and old functions call it until the extension is updated: between the exchange of the library and that, they say so.

use pgrx::prelude::*;

use crate::errors::raise;
use crate::fmgr::Call;
use crate::rollup::read::read_rollup;
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

    // 0.2.0: a function for each rollup.
    fn agent_performance_buckets(call) { read(call) }
    fn execution_metrics_buckets(call) { read(call) }
    fn agent_model_usage_buckets(call) { read(call) }
    fn user_usage_buckets(call) { read(call) }
    fn error_summary_buckets(call) { read(call) }
}

fn read(call: Call) -> pg_sys::Datum {
    // SAFETY: the call is passed on as it came.
    unsafe { read_rollup(call.info()) }
}

fn raise_outdated() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the functions of shadower_analytics are older than its library",
        "Run ALTER EXTENSION shadower_analytics UPDATE; and then SELECT analytics.setup();",
    )
}
