//! Queries through SPI: reads in a way that a read-only transaction, a parallel plan and a standby can follow, and
//! statements that change something.

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
    /// The row itself, for a function that returns rows.
    pub fn tuple(&self) -> pg_sys::HeapTuple {
        self.tuple
    }

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
    let read = Kind {
        read_only: true,
        most: 1,
    };
    planned(read, sql, arguments, |row| row.get(1))
        .pop()
        .flatten()
}

/// What `look` makes of each row of a query that only reads.
pub fn read_rows<R>(sql: &str, arguments: &[DatumWithOid], look: impl FnMut(&Row) -> R) -> Vec<R> {
    planned(READ, sql, arguments, look)
}

/// Runs a statement that changes something.
pub fn change(sql: &str, arguments: &[DatumWithOid]) {
    planned(CHANGE, sql, arguments, |_| ());
}

/// What `look` makes of each row that a statement gives which changes something. It sees what this transaction has
/// done, and what others have committed before it.
pub fn change_rows<R>(
    sql: &str,
    arguments: &[DatumWithOid],
    look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    planned(CHANGE, sql, arguments, look)
}

/// As `read_rows`, for a query that runs so often that this backend keeps its plan. `name` stands for the text.
///
/// The plan is made for any arguments: planning for each would cost more than it could win.
pub fn read_rows_kept<R>(
    name: &str,
    sql: impl FnOnce() -> String,
    arguments: &[DatumWithOid],
    look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    kept(READ, name, sql, arguments, look)
}

/// As `change_rows`, for a statement that never differs and whose plan is kept.
pub fn change_rows_kept<R>(
    sql: &'static str,
    arguments: &[DatumWithOid],
    look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    kept(CHANGE, sql, || sql.to_owned(), arguments, look)
}

/// The same for a statement that is put together, and has a name of its own.
pub fn change_rows_named<R>(
    name: &str,
    sql: impl FnOnce() -> String,
    arguments: &[DatumWithOid],
    look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    kept(CHANGE, name, sql, arguments, look)
}

/// As `change`, with a plan that is kept.
pub fn change_kept(sql: &'static str, arguments: &[DatumWithOid]) {
    change_rows_kept(sql, arguments, |_| ());
}

/// The first value that such a statement gives.
pub fn change_one_kept<T: FromDatum + 'static>(
    sql: &'static str,
    arguments: &[DatumWithOid],
) -> Option<T> {
    change_rows_kept(sql, arguments, |row| row.get(1))
        .into_iter()
        .next()
        .flatten()
}

/// How a statement is run.
#[derive(Clone, Copy)]
struct Kind {
    /// In the caller's snapshot, rather than in a new one.
    read_only: bool,
    /// Rows at which to stop; 0 for none.
    most: std::ffi::c_long,
}

const READ: Kind = Kind {
    read_only: true,
    most: 0,
};
const CHANGE: Kind = Kind {
    read_only: false,
    most: 0,
};

fn kept<R>(
    kind: Kind,
    name: &str,
    sql: impl FnOnce() -> String,
    arguments: &[DatumWithOid],
    mut look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    let mut given = Arguments::of(arguments);
    Spi::connect(|_| {
        // SAFETY: connected to SPI; a kept plan lives as long as the backend, and takes as many arguments as given.
        unsafe {
            let plan = kept_plan(name, sql, &mut given);
            let status = pg_sys::SPI_execute_plan(
                plan,
                given.values.as_mut_ptr(),
                given.nulls.as_ptr(),
                kind.read_only,
                kind.most,
            );
            Spi::check_status(status).unwrap_or_report();
            each_row(&mut look)
        }
    })
}

thread_local! {
    static PLANS: RefCell<HashMap<String, pg_sys::SPIPlanPtr>> = RefCell::default();
}

/// # Safety
/// Connected to SPI.
unsafe fn kept_plan(
    name: &str,
    sql: impl FnOnce() -> String,
    given: &mut Arguments,
) -> pg_sys::SPIPlanPtr {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(name).copied()) {
        return plan;
    }
    let command = CString::new(sql()).unwrap_or_default();
    // SAFETY: the types are as many as the count says; the text is copied.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare_cursor(
            command.as_ptr(),
            given.count(),
            given.types.as_mut_ptr(),
            pg_sys::CURSOR_OPT_GENERIC_PLAN.cast_signed(),
        );
        if plan.is_null() {
            Spi::check_status(pg_sys::SPI_result).unwrap_or_report();
        }
        pg_sys::SPI_keepplan(plan);
        plan
    };
    PLANS.with_borrow_mut(|plans| plans.insert(name.to_owned(), plan));
    plan
}

/// Arguments as SPI takes them: arrays of one length.
struct Arguments {
    types: Vec<pg_sys::Oid>,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<c_char>,
}

impl Arguments {
    fn of(arguments: &[DatumWithOid]) -> Self {
        let value = |a: &DatumWithOid| {
            a.datum()
                .map_or_else(pg_sys::Datum::null, pgrx::datum::Datum::sans_lifetime)
        };
        #[allow(clippy::cast_possible_wrap)] // ASCII
        let null = |a: &DatumWithOid| if a.datum().is_some() { b' ' } else { b'n' } as c_char;
        Self {
            types: arguments.iter().map(DatumWithOid::oid).collect(),
            values: arguments.iter().map(value).collect(),
            nulls: arguments.iter().map(null).collect(),
        }
    }

    fn count(&self) -> i32 {
        i32::try_from(self.types.len()).unwrap_or(0)
    }
}

/// `Spi::get_one` would assign a transaction id: a cost for every reader, and an error in a parallel worker and on a
/// standby. `SpiClient::select` would be read-only until the transaction has written something, and then fail in the
/// parallel part of a statement such as CREATE TABLE AS.
fn planned<R>(
    kind: Kind,
    sql: &str,
    arguments: &[DatumWithOid],
    mut look: impl FnMut(&Row) -> R,
) -> Vec<R> {
    let Ok(command) = CString::new(sql) else {
        return Vec::new();
    };
    let mut given = Arguments::of(arguments);
    Spi::connect(|_| {
        // SAFETY: connected to SPI; the three vectors have `count` elements.
        unsafe {
            let status = pg_sys::SPI_execute_with_args(
                command.as_ptr(),
                given.count(),
                given.types.as_mut_ptr(),
                given.values.as_mut_ptr(),
                given.nulls.as_ptr(),
                kind.read_only,
                kind.most,
            );
            Spi::check_status(status).unwrap_or_report();
            each_row(&mut look)
        }
    })
}

/// # Safety
/// A statement has just been executed through SPI, and the connection is open.
unsafe fn each_row<R>(look: &mut impl FnMut(&Row) -> R) -> Vec<R> {
    // SAFETY: a tuple table belongs to the connection that is open, and has as many tuples as SPI has processed.
    unsafe {
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
}
