//! Verified tokens: who a JSON Web Token says the caller is. The tokens themselves are the business of `crates/tokens`;
//! here are the keys, which only the owner of the tables reads, the logins, and what was revoked.

mod authenticate;
pub mod identity;
mod issue;
mod keys;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::roles::with_setting;
use crate::setup::{relation_owner, table_named};

/// Seconds since 1970, by the clock and not by the transaction.
fn now() -> i64 {
    const MICROSECONDS: i64 = 1_000_000;
    let seconds_from_1970_to_2000 =
        i64::from(pg_sys::POSTGRES_EPOCH_JDATE - pg_sys::UNIX_EPOCH_JDATE) * 86_400;
    // SAFETY: reads the clock.
    let since_2000 = unsafe { pg_sys::GetCurrentTimestamp() };
    since_2000.div_euclid(MICROSECONDS) + seconds_from_1970_to_2000
}

/// Whether a token's time is over, with the leeway that verification grants.
fn has_expired(expires_at: i64) -> bool {
    expires_at.saturating_add(::tokens::LEEWAY_SECONDS) <= now()
}

#[allow(clippy::cast_precision_loss)] // seconds until the year 9999
fn timestamp(seconds: i64) -> TimestampWithTimeZone {
    to_timestamp(seconds as f64)
}

pub fn sql_uuid(id: uuid::Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*id.as_bytes())
}

fn rust_uuid(id: pgrx::Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(*id.as_bytes())
}

/// The owner of the keys, who reads them for everybody.
fn owner() -> pg_sys::Oid {
    // SAFETY: runs inside a transaction; gives an invalid id for an invalid one.
    unsafe { relation_owner(table_named(c"analytics_internal", c"token_keys")) }
}

/// Raises an error whose statement does not go into the server's log: there is a token or a secret in it.
fn raise_unlogged(code: PgSqlErrorCode, message: impl Into<String>, hint: impl Into<String>) -> ! {
    with_setting(c"log_min_error_statement", c"panic", || {
        raise(code, message, hint)
    })
}

/// 32 bytes that nobody can guess, as 64 hexadecimal digits.
fn random_word() -> String {
    let mut bytes = [0_u8; 32];
    // SAFETY: fills as many bytes as there are.
    if !unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), bytes.len()) } {
        raise(
            PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
            "there are no random numbers",
            "The operating system's source of them failed: see its log.",
        )
    }
    hexadecimal(&bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
