//! The types whose values are the stored bytes of a sketch or a summary: reading, writing, and what they have in common.

use std::ffi::{CStr, CString};
use std::fmt::Write;

use percentiles::{DistinctSketch, Error, PercentileSketch, Stats};
use pgrx::pg_sys;

use super::or_raise;
use crate::fmgr::Call;
use crate::sql_functions;

/// A state that is stored as bytes, the same bytes for equal states.
pub(super) trait Stored: Sized {
    fn read(bytes: &[u8]) -> Result<Self, Error>;
    fn write(&self) -> Vec<u8>;

    /// The state that an argument holds; none for NULL.
    fn argument(call: Call, index: usize) -> Option<Self> {
        call.bytes(index).map(|bytes| or_raise(Self::read(bytes)))
    }

    /// Returns a state as a value that can be stored.
    fn give(&self) -> pg_sys::Datum {
        Call::give_parts(&[&self.write()])
    }
}

macro_rules! stored {
    ($($type:ty),+) => {$(
        impl Stored for $type {
            fn read(bytes: &[u8]) -> Result<Self, Error> { Self::from_bytes(bytes) }
            fn write(&self) -> Vec<u8> { self.to_bytes() }
        }
    )+};
}
stored!(PercentileSketch, DistinctSketch, Stats);

/// Text is that of bytea; what it says is checked.
fn input<T: Stored>(call: Call) -> pg_sys::Datum {
    // SAFETY: the argument of an input function is a C string, which is what byteain takes.
    let bytes = unsafe { pgrx::direct_function_call::<Vec<u8>>(pg_sys::byteain, &[call.datum(0)]) };
    match bytes {
        Some(bytes) => or_raise(T::read(&bytes)).give(),
        None => call.null(),
    }
}

fn receive<T: Stored>(call: Call) -> pg_sys::Datum {
    match call.datum(0) {
        Some(message) => or_raise(T::read(&rest_of(message))).give(),
        None => call.null(),
    }
}

/// What is left of the message that a receive function gets.
pub(crate) fn rest_of(message: pg_sys::Datum) -> Vec<u8> {
    // SAFETY: the argument of a receive function is a StringInfo, which belongs to the caller.
    unsafe {
        let message = message.cast_mut_ptr::<pg_sys::StringInfoData>();
        let length = ((*message).len - (*message).cursor).max(0).unsigned_abs() as usize;
        let start = (*message)
            .data
            .add((*message).cursor.unsigned_abs() as usize)
            .cast::<u8>();
        (*message).cursor = (*message).len;
        std::slice::from_raw_parts(start, length).to_vec()
    }
}

sql_functions! {
    fn percentile_sketch_in(call) { input::<PercentileSketch>(call) }
    fn percentile_sketch_recv(call) { receive::<PercentileSketch>(call) }
    fn distinct_sketch_in(call) { input::<DistinctSketch>(call) }
    fn distinct_sketch_recv(call) { receive::<DistinctSketch>(call) }
    fn stats_summary_in(call) { input::<Stats>(call) }
    fn stats_summary_recv(call) { receive::<Stats>(call) }

    // byteaout would follow the setting bytea_output.
    fn stored_out(call) {
        let Some(bytes) = call.bytes(0) else { return call.null() };
        let mut text = String::with_capacity(2 + 2 * bytes.len());
        text.push_str("\\x");
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        let text = CString::new(text).ok();
        call.give(text.as_deref().map(CStr::to_owned))
    }

    fn stored_send(call) {
        match call.bytes(0) {
            Some(bytes) => Call::give_parts(&[bytes]),
            None => call.null(),
        }
    }

    // Equal states have equal bytes.
    fn stored_eq(call) { call.give(Some(call.bytes(0) == call.bytes(1))) }
    fn stored_ne(call) { call.give(Some(call.bytes(0) != call.bytes(1))) }
}
