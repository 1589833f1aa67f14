//! Reading through SPI in a way that a read-only transaction, a parallel plan and a standby can follow.

use std::ffi::{CString, c_char};

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

/// One row of a result.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
}

impl Row {
    /// The value of a column, counted from 1; none where it is NULL. For types whose Rust form holds a copy.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        let mut is_null = false;
        // SAFETY: the tuple is of this descriptor, and both live while rows are read.
        unsafe {
            let value =
                pg_sys::SPI_getbinval(self.tuple, self.descriptor, column, &raw mut is_null);
            T::from_datum(value, is_null)
        }
    }
}

/// The first value of a query that only reads; none where there is no row or the value is NULL. For types that are
/// passed by value.
pub fn read_one<T: FromDatum + IntoDatum>(sql: &str, arguments: &[DatumWithOid]) -> Option<T> {
    read(sql, arguments, 1, |row| row.get(1))
        .into_iter()
        .next()
        .flatten()
}

/// What `shape` makes of each row of a query that only reads.
pub fn read_rows<T>(sql: &str, arguments: &[DatumWithOid], shape: impl Fn(&Row) -> T) -> Vec<T> {
    read(sql, arguments, 0, shape)
}

/// `Spi::get_one` would assign a transaction id: a cost for every reader, and an error in a parallel worker and on a
/// standby. `SpiClient::select` would be read-only until the transaction has written something, and then fail in the
/// parallel part of a statement such as CREATE TABLE AS.
fn read<T>(
    sql: &str,
    arguments: &[DatumWithOid],
    limit: std::ffi::c_long,
    shape: impl Fn(&Row) -> T,
) -> Vec<T> {
    let Ok(command) = CString::new(sql) else {
        return Vec::new();
    };
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
    let count = i32::try_from(arguments.len()).unwrap_or_default();
    Spi::connect(|_| {
        // SAFETY: connected to SPI; the three vectors have `count` elements; a tuple table belongs to this connection,
        // has as many tuples as were processed, and is read before the connection ends.
        unsafe {
            let status = pg_sys::SPI_execute_with_args(
                command.as_ptr(),
                count,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr(),
                true,
                limit,
            );
            Spi::check_status(status).unwrap_or_report();
            let table = pg_sys::SPI_tuptable;
            if table.is_null() {
                return Vec::new();
            }
            let rows = usize::try_from(pg_sys::SPI_processed).unwrap_or_default();
            (0..rows)
                .map(|number| {
                    shape(&Row {
                        tuple: *(*table).vals.add(number),
                        descriptor: (*table).tupdesc,
                    })
                })
                .collect()
        }
    })
}
