//! Maintenance in SQL that a superuser, or a job of theirs, runs as safely as the owner of the tables does.
//!
//! `analytics.NAME` is declared with `as_owner`, and does what `analytics_internal.NAME` does with the same arguments: as
//! the owner of the tables where the caller may act as them, otherwise as the caller, whose rights decide.

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use crate::fmgr::Call;
use crate::roles::step_down_to;
use crate::setup::owner;
use crate::sql_functions;

sql_functions! {
    fn as_owner(call) {
        // SAFETY: the call information is valid, and that of a function of ours.
        let returns_set = unsafe { (*(*call.info()).flinfo).fn_retset };
        if returns_set {
            let rows = call.rows();
            step_down_to(owner(), || run(call, |tuple, _| {
                // SAFETY: both functions declare the same columns.
                unsafe { rows.add(tuple) };
            }));
            return pg_sys::Datum::null();
        }
        let mut result = None;
        step_down_to(owner(), || run(call, |tuple, description| {
            let mut is_null = false;
            // SAFETY: there is one column, of a type that is passed by value.
            let value = unsafe { pg_sys::SPI_getbinval(tuple, description, 1, &raw mut is_null) };
            result = (!is_null).then_some(value);
        }));
        result.unwrap_or_else(|| call.null())
    }
}

/// Calls the namesake in `analytics_internal`, and visits each row that it returns.
fn run(call: Call, mut visit: impl FnMut(pg_sys::HeapTuple, pg_sys::TupleDesc)) {
    let (statement, types) = namesake(call);
    let mut values = Vec::new();
    let mut nulls = Vec::new();
    for index in 0..types.len() {
        let value = call.datum(index);
        values.push(value.unwrap_or(pg_sys::Datum::null()));
        nulls.push(if value.is_some() { b' ' } else { b'n' }.cast_signed());
    }
    let mut types = types;
    // SAFETY: types, values and nulls have one entry for each argument; a tuple table has the rows that were processed,
    // and is valid until SPI finishes.
    unsafe {
        pg_sys::SPI_connect();
        pg_sys::SPI_execute_with_args(
            statement.as_ptr(),
            i32::try_from(types.len()).unwrap_or(0),
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr(),
            false,
            0,
        );
        let table = pg_sys::SPI_tuptable;
        for row in 0..usize::try_from(pg_sys::SPI_processed).unwrap_or(0) {
            visit(*(*table).vals.add(row), (*table).tupdesc);
        }
        pg_sys::SPI_finish();
    }
}

/// The statement that calls it, and the types of the arguments.
fn namesake(call: Call) -> (CString, Vec<pg_sys::Oid>) {
    let mut types = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: the function exists, it is being called; Postgres allocates what it returns, for as long as the call.
    let (name, types) = unsafe {
        let function = (*(*call.info()).flinfo).fn_oid;
        pg_sys::get_func_signature(function, &raw mut types, &raw mut count);
        let count = usize::try_from(count).unwrap_or(0);
        let types = (0..count).map(|index| *types.add(index)).collect();
        (CStr::from_ptr(pg_sys::get_func_name(function)), types)
    };
    let types: Vec<_> = types;
    let places: Vec<_> = (1..=types.len())
        .map(|number| format!("${number}"))
        .collect();
    let statement = format!(
        "SELECT * FROM analytics_internal.{}({})",
        name.to_string_lossy(),
        places.join(", ")
    );
    (CString::new(statement).unwrap_or_default(), types)
}
