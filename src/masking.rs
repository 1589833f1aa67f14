//! Personal data in free text, for readers who are not to see it. The rules are in `crates/masking`.

use pgrx::prelude::*;

use crate::access::row_security::passes_row_security_or_fails;
use crate::errors::raise;

#[pg_extern(sql = false)]
fn mask_text(content: &str, max_length: i32) -> String {
    masking::mask(content, checked_length(max_length))
}

/// The text of a document in, the text of a document out: as `jsonb`, pgrx would refuse deep nesting and large numbers.
#[pg_extern(
    schema = "analytics_internal",
    immutable,
    strict,
    parallel_safe,
    cost = 1000
)]
fn mask_json_text(document: &str, max_length: i32) -> String {
    masking::mask_json(document, checked_length(max_length))
}

/// Whether row security lets the caller pass. Postgres asks for the owner of a view, whose tables the masked views read.
#[pg_extern(schema = "analytics_internal", stable, parallel_safe)]
fn reads_everything() -> bool {
    passes_row_security_or_fails()
}

fn checked_length(max_length: i32) -> usize {
    const MOST: usize = 1_000_000;
    match usize::try_from(max_length) {
        Ok(length @ 1..=MOST) => length,
        _ => raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("max_length \"{max_length}\" is not allowed: it lies outside 1 to {MOST}"),
            "Give a number of characters; without it texts are cut at 200.",
        ),
    }
}
