//! Rollups: hours and days of agents, kept exact.
//!
//! `capture` notes which hours a transaction changes and writes them to a log before it commits. `refresh` takes
//! hours from that log and computes them anew from raw rows. Reads (`read`) take from the rollups what is not in the
//! log, and the rest from raw rows. `declarations` says what the rollups are, `statements` what SQL that means.

pub mod capture;
mod declarations;
pub mod partitions;
pub mod read;
pub mod refresh;
mod refresh_all;
mod statements;
mod time;

use pgrx::pg_sys;

use crate::setup::relation_owner;

/// Who owns the log, and with it the other tables.
fn owner() -> pg_sys::Oid {
    // SAFETY: look-ups of names and oids, which accept what is not there; runs inside a transaction.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"analytics_internal".as_ptr(), true);
        relation_owner(pg_sys::get_relname_relid(
            c"rollup_changes".as_ptr(),
            schema,
        ))
    }
}
