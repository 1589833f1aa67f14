//! Trying something that may fail, without losing the transaction.

use std::panic::AssertUnwindSafe;

use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

/// An error that was caught.
pub struct Failure {
    /// SQLSTATE, such as 22012.
    pub code: String,
    pub message: String,
}

/// Runs `action` in a subtransaction, and gives its error back where it fails. Being cancelled or terminated is passed
/// on: whoever asks for it wants the whole to end.
pub fn attempt<T>(action: impl FnOnce() -> T) -> Result<T, Failure> {
    // What `action` holds is not used again after an error, other than a connection to SPI, which Postgres restores.
    let action = AssertUnwindSafe(action);
    // SAFETY: as PL/pgSQL's blocks with EXCEPTION: the subtransaction is released or rolled back below, and what
    // was current before is current again.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let restore = move || {
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        };
        PgTryBuilder::new(AssertUnwindSafe(move || {
            let action = action;
            let result = AssertUnwindSafe((action.0)());
            pg_sys::ReleaseCurrentSubTransaction();
            restore();
            Ok(result)
        }))
        .catch_others(move |error| {
            let failure = failure_of(&error);
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            restore();
            if ["57014", "57P01", "57P02", "57P03"].contains(&failure.code.as_str()) {
                error.rethrow()
            }
            Err(failure)
        })
        .execute()
        .map(|result: AssertUnwindSafe<T>| result.0)
    }
}

fn failure_of(error: &CaughtError) -> Failure {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic {
        ereport: report, ..
    }) = error;
    Failure {
        code: sqlstate(report.sql_error_code()),
        message: report.message().to_owned(),
    }
}

/// Five characters of six bits each, as in `MAKE_SQLSTATE`.
fn sqlstate(code: PgSqlErrorCode) -> String {
    let packed = code as u32;
    (0..5)
        .map(|place| {
            let six_bits = (packed >> (6 * place)) & 0x3f;
            char::from(u8::try_from(six_bits).unwrap_or(0).wrapping_add(b'0'))
        })
        .collect()
}
