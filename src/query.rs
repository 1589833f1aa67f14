//! Reading through SPI in a way that a read-only transaction, a parallel worker and a standby can follow.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

/// The first value of a query that only reads; none where there is no row or the value is NULL.
///
/// `Spi::get_one` would assign a transaction id: a cost for every reader, and an error in a parallel worker and on a
/// standby.
pub fn read_one<T: FromDatum + IntoDatum>(sql: &str, arguments: &[DatumWithOid]) -> Option<T> {
    Spi::connect(|client| {
        let rows = client.select(sql, Some(1), arguments).unwrap_or_report();
        if rows.is_empty() {
            return None;
        }
        rows.first().get_one().unwrap_or_report()
    })
}
