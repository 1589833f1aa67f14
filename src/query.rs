//! Reading through SPI in a way that a read-only transaction, a parallel plan and a standby can follow.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_char};

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

/// A row of the result, readable while it is being visited.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
}

impl Row {
    /// The value of a column, counted from 1, as a type that owns its bytes; none where it is NULL.
    pub fn get<T: FromDatum + 'static>(&self, column: i32) -> Option<T> {
        let mut is_null = false;
        // SAFETY: the tuple belongs to the connection that is open while rows are visited; SPI checks the number.
        unsafe {
            let value =
                pg_sys::SPI_getbinval(self.tuple, self.description, column, &raw mut is_null);
            T::from_datum(value, is_null)
        }
    }
}

/// The first value of a query that only reads; none where there is no row or the value is NULL.
pub fn read_one<T: FromDatum + 'static>(sql: &str, arguments: &[DatumWithOid]) -> Option<T> {
    visit(&Text(sql), arguments, true, 1, |row| row.get(1))
        .pop()
        .flatten()
}

/// What `look` makes of each row of a query that only reads.
pub fn read_rows<R>(sql: &str, arguments: &[DatumWithOid], look: impl FnMut(&Row) -> R) -> Vec<R> {
    visit(&Text(sql), arguments, true, 0, look)
}

/// The same with a new snapshot: sees what was committed meanwhile and what this command has written, and may write.
pub fn fresh_rows<R>(sql: &str, arguments: &[DatumWithOid], look: impl FnMut(&Row) -> R) -> Vec<R> {
    visit(&Text(sql), arguments, false, 0, look)
}

/// As `fresh_rows`, for a statement that runs often: this backend keeps its plan.
pub fn kept_rows<R>(
    sql: &'static str,
    arguments: &[DatumWithOid],
    look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    visit(&Kept(sql), arguments, false, 0, look)
}

/// How a statement is run: by its text, or by a plan that was kept.
enum Statement<'a> {
    Text(&'a str),
    Kept(&'static str),
}
use Statement::{Kept, Text};

thread_local! {
    static PLANS: RefCell<HashMap<&'static str, pg_sys::SPIPlanPtr>> = RefCell::default();
}

/// The plan of a statement. Postgres makes it anew when a table that it reads has changed.
///
/// # Safety
/// Connected to SPI; `types` has `count` elements.
unsafe fn kept_plan(sql: &'static str, count: i32, types: *mut pg_sys::Oid) -> pg_sys::SPIPlanPtr {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(sql).copied()) {
        return plan;
    }
    let Ok(command) = CString::new(sql) else {
        return std::ptr::null_mut();
    };
    // SAFETY: as above; a plan that is kept lives as long as the backend.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare(command.as_ptr(), count, types);
        if plan.is_null() {
            Spi::check_status(pg_sys::SPI_result).unwrap_or_report();
        }
        // Fails for a NULL plan only.
        pg_sys::SPI_keepplan(plan);
        plan
    };
    PLANS.with_borrow_mut(|plans| plans.insert(sql, plan));
    plan
}

/// `Spi::get_one` would assign a transaction id: a cost for every reader, and an error in a parallel worker and on a
/// standby. `SpiClient::select` would be read-only until the transaction has written something, and then fail in the
/// parallel part of a statement such as CREATE TABLE AS.
fn visit<R>(
    statement: &Statement,
    arguments: &[DatumWithOid],
    read_only: bool,
    most: std::ffi::c_long,
    mut look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    let Ok(count) = i32::try_from(arguments.len()) else {
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
    Spi::connect(|_| {
        // SAFETY: connected to SPI; the three vectors have `count` elements; a tuple table belongs to this connection,
        // has as many tuples as SPI has processed, and is read before the connection ends.
        unsafe {
            let status = match statement {
                Text(sql) => {
                    let Ok(command) = CString::new(*sql) else {
                        return Vec::new();
                    };
                    pg_sys::SPI_execute_with_args(
                        command.as_ptr(),
                        count,
                        types.as_mut_ptr(),
                        values.as_mut_ptr(),
                        nulls.as_ptr(),
                        read_only,
                        most,
                    )
                }
                Kept(sql) => pg_sys::SPI_execute_plan(
                    kept_plan(sql, count, types.as_mut_ptr()),
                    values.as_mut_ptr(),
                    nulls.as_ptr(),
                    read_only,
                    most,
                ),
            };
            Spi::check_status(status).unwrap_or_report();
            let table = pg_sys::SPI_tuptable;
            if table.is_null() {
                return Vec::new();
            }
            let found = usize::try_from(pg_sys::SPI_processed).unwrap_or(0);
            std::slice::from_raw_parts((*table).vals, found)
                .iter()
                .map(|tuple| {
                    look(&Row {
                        tuple: *tuple,
                        description: (*table).tupdesc,
                    })
                })
                .collect()
        }
    })
}
