//! Fingerprints of errors: crate `error_analytics` as SQL functions, declared in `sql/error_analytics.sql`.

use pgrx::prelude::*;

#[pg_extern(schema = "analytics_internal", immutable, parallel_safe, cost = 1000)]
fn error_fingerprint(
    error_type: Option<&str>,
    error_category: Option<&str>,
    error_message: Option<&str>,
) -> Option<String> {
    // NULL for NULL, so that the table says which of its columns must not be.
    Some(::error_analytics::fingerprint(
        error_type?,
        error_category?,
        error_message,
    ))
}

#[pg_extern(sql = false)]
fn message_pattern(error_message: &str) -> String {
    ::error_analytics::normalise(error_message)
}
