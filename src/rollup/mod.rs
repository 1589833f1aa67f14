//! Rollups: minutes, hours and days, kept exact.
//!
//! `declarations` says what sources and rollups there are, and `statements` what SQL that means. `capture` notes which
//! hours a transaction changes and writes them to a log before it commits; the triggers that call it are made by
//! `triggers`. `partitions` finds what changes without a trigger. `refresh` takes hours from that log (`work`), computes
//! them anew from raw rows and notes how it went (`state`). Reads (`read`) take from the rollups what is not in the log,
//! and the rest from raw rows; `agents` counts what they put together. `floors` and `retention` let raw rows go while
//! their rollups stay.

mod agents;
pub mod capture;
#[allow(dead_code)] // the build script uses the rest
mod declarations;
mod floors;
pub mod partitions;
mod procedures;
pub mod read;
pub mod refresh;
pub mod repair;
pub mod retention;
mod state;
mod statements;
pub mod summaries;
pub mod time;
#[cfg(feature = "pg_test")]
mod trial;
pub mod triggers;
mod work;

use pgrx::pg_sys;

use crate::setup::{relation_owner, table_named};

/// Who owns the log, and with it the other tables.
fn owner() -> pg_sys::Oid {
    // SAFETY: runs inside a transaction; gives an invalid id for an invalid one.
    unsafe { relation_owner(table_named(c"analytics_internal", c"rollup_changes")) }
}
