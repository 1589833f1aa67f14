//! What the SQL of released versions calls and the present one does not. Postgres creates no function without its symbol,
//! and old functions call it until the extension is updated.

use pgrx::prelude::*;

use crate::fmgr::Call;
use crate::rollup::read::read_rollup;
use crate::sql_functions;

sql_functions! {
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
