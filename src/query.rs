//! Reading through SPI in a way that a read-only transaction, a parallel plan and a standby can follow.

use std::ffi::{CString, c_char};

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

/// The first value of a query that only reads; none where there is no row or the value is NULL. For types that are
/// passed by value.
///
/// `Spi::get_one` would assign a transaction id: a cost for every reader, and an error in a parallel worker and on a
/// standby. `SpiClient::select` would be read-only until the transaction has written something, and then fail in the
/// parallel part of a statement such as CREATE TABLE AS.
pub fn read_one<T: FromDatum + IntoDatum>(sql: &str, arguments: &[DatumWithOid]) -> Option<T> {
    let command = CString::new(sql).ok()?;
    let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    let mut values: Vec<pg_sys::Datum> = arguments
        .iter()
        .map(|a| {
            a.datum()
                .map_or_else(pg_sys::Datum::null, pgrx::datum::Datum::sans_lifetime)
        })
        .collect();
    #[allow(clippy::cast_possible_wrap)] // ASCII
    let nulls: Vec<c_char> = arguments
        .iter()
        .map(|a| if a.datum().is_some() { b' ' } else { b'n' } as c_char)
        .collect();
    let count = i32::try_from(arguments.len()).ok()?;
    Spi::connect(|_| {
        // SAFETY: connected to SPI; the three vectors have `count` elements; a tuple table belongs to this connection
        // and is read before it ends.
        unsafe {
            let status = pg_sys::SPI_execute_with_args(
                command.as_ptr(),
                count,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr(),
                true,
                1,
            );
            Spi::check_status(status).unwrap_or_report();
            let table = pg_sys::SPI_tuptable;
            if table.is_null() || pg_sys::SPI_processed == 0 {
                return None;
            }
            let mut is_null = false;
            let value =
                pg_sys::SPI_getbinval(*(*table).vals, (*table).tupdesc, 1, &raw mut is_null);
            T::from_datum(value, is_null)
        }
    })
}
