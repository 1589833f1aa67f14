//! Rollups: minutes, hours and days, kept exact.
//!
//! `capture` notes which hours a transaction changes and writes them to a log before it commits; `partitions` finds what
//! changes without a trigger. `refresh` takes hours from that log (`work`), computes them anew from raw rows and notes how
//! it went (`state`). Reads (`read`) take from the rollups what is not in the log, and the rest from raw rows; `agents`
//! counts what they put together. `declarations` says what the rollups are, `statements` what SQL that means. `floors` and
//! `retention` let raw rows go while their rollups stay.

mod agents;
pub mod capture;
mod declarations;
mod floors;
pub mod partitions;
mod procedures;
mod read;
pub mod refresh;
pub mod repair;
pub mod retention;
mod state;
mod statements;
pub mod summaries;
pub mod time;
mod work;

use pgrx::pg_sys;

use crate::setup::{relation_owner, table_named};

/// Who owns the log, and with it the other tables.
fn owner() -> pg_sys::Oid {
    // SAFETY: runs inside a transaction; gives an invalid id for an invalid one.
    unsafe { relation_owner(table_named(c"analytics_internal", c"rollup_changes")) }
}
