//! Postgres's own calling convention, for functions that run once a row or that take types of ours.
//!
//! pgrx's `#[pg_extern]` is the rule. These are the exceptions: the SQL of such a function, with its types, labels
//! and comment, stands in `sql/NAME.sql`, and the code here reads its arguments without a copy.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;

/// The arguments and the result of one call.
#[derive(Clone, Copy)]
pub struct Call(pg_sys::FunctionCallInfo);

/// The result of a function that returns a set.
pub struct Rows(*mut pg_sys::Tuplestorestate);

impl Rows {
    /// # Safety
    /// The tuple has the types that the SQL of the function declares.
    pub unsafe fn add(&self, tuple: pg_sys::HeapTuple) {
        // SAFETY: the store lives as long as the call; the tuple is copied.
        unsafe { pg_sys::tuplestore_puttuple(self.0, tuple) };
    }
}

/// Declares functions that SQL can name in `AS 'MODULE_PATHNAME', 'name'`.
#[macro_export]
macro_rules! sql_functions {
    ($($(#[$meta:meta])* fn $name:ident($call:ident) $body:block)+) => {$(
        $(#[$meta])*
        #[pgrx::pg_guard]
        #[unsafe(no_mangle)]
        #[allow(unused_braces, clippy::missing_safety_doc, missing_docs)] // only Postgres calls it
        pub unsafe extern "C-unwind" fn $name(fcinfo: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
            // SAFETY: Postgres calls this with the arguments that the SQL declares.
            let $call = unsafe { $crate::fmgr::Call::new(fcinfo) };
            $body
        }

        const _: () = {
            // Postgres looks for this symbol beside each function.
            #[unsafe(export_name = concat!("pg_finfo_", stringify!($name)))]
            extern "C" fn finfo() -> *const pgrx::pg_sys::Pg_finfo_record {
                static INFO: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
                &raw const INFO
            }
        };
    )+};
}

impl Call {
    /// # Safety
    /// `fcinfo` is the call information that Postgres gave to a function.
    #[inline]
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        Self(fcinfo)
    }

    pub fn info(self) -> pg_sys::FunctionCallInfo {
        self.0
    }

    /// The argument at `index`, unless it is NULL or was not declared.
    #[inline]
    pub fn datum(self, index: usize) -> Option<pg_sys::Datum> {
        // SAFETY: the call information is valid, and holds `nargs` arguments.
        unsafe {
            if index >= (*self.0).nargs.unsigned_abs() as usize {
                return None;
            }
            let argument = (*self.0).args.as_ptr().add(index);
            (!(*argument).isnull).then_some((*argument).value)
        }
    }

    /// A `double precision` argument.
    #[inline]
    pub fn f64(self, index: usize) -> Option<f64> {
        self.datum(index)
            .map(|datum| f64::from_bits(datum.value() as u64))
    }

    /// The content of a variable-length argument, decompressed where it was compressed.
    pub fn bytes<'a>(self, index: usize) -> Option<&'a [u8]> {
        // SAFETY: the SQL declares such arguments with types of variable length. The content lives at least as
        // long as this call; the caller does not keep it.
        self.datum(index).map(|datum| unsafe {
            let stored = datum.cast_mut_ptr::<pg_sys::varlena>();
            // Most values are as they are needed, and a call into Postgres is dear.
            let is_plain = pgrx::varatt_is_4b_u(stored)
                || (pgrx::varatt_is_1b(stored) && !pgrx::varatt_is_1b_e(stored));
            let value = if is_plain {
                stored
            } else {
                pg_sys::pg_detoast_datum_packed(stored)
            };
            pgrx::varlena_to_byte_slice(value)
        })
    }

    /// An aggregate's state, which only functions of the same aggregate make.
    #[inline]
    pub fn state<'a, T>(self, index: usize) -> Option<&'a mut T> {
        self.require_aggregate();
        // SAFETY: an `internal` argument of an aggregate's function is what another of its functions returned, and
        // nobody else holds a reference to it during this call.
        self.datum(index)
            .and_then(|datum| unsafe { datum.cast_mut_ptr::<T>().as_mut() })
    }

    /// Where an aggregate's state must live: longer than a row, as long as its group.
    pub fn aggregate_context(self) -> pg_sys::MemoryContext {
        let mut context = std::ptr::null_mut();
        // SAFETY: writes the context where this is an aggregate's call, and returns zero where it is not.
        if unsafe { pg_sys::AggCheckCallContext(self.0, &raw mut context) } == 0 {
            raise_not_an_aggregate()
        }
        context
    }

    /// As `AggCheckCallContext` does, which would cost as much as the rest of a cheap transition: a call from Rust into
    /// Postgres sets up a jump buffer, and this runs once a row.
    #[inline]
    fn require_aggregate(self) {
        // SAFETY: the call information is valid, and its context is NULL or a node.
        let is_aggregate = unsafe {
            let context = (*self.0).context;
            !context.is_null()
                && matches!(
                    (*context).type_,
                    pg_sys::NodeTag::T_AggState | pg_sys::NodeTag::T_WindowAggState
                )
        };
        if !is_aggregate {
            raise_not_an_aggregate()
        }
    }

    /// A `uuid` argument.
    pub fn uuid(self, index: usize) -> Option<pgrx::Uuid> {
        // SAFETY: the SQL declares such arguments as uuid.
        self.datum(index)
            .and_then(|datum| unsafe { pgrx::Uuid::from_datum(datum, false) })
    }

    /// An `interval` argument.
    pub fn interval(self, index: usize) -> Option<Interval> {
        // SAFETY: the SQL declares such arguments as interval.
        self.datum(index)
            .and_then(|datum| unsafe { Interval::from_datum(datum, false) })
    }

    /// What SQL calls the function that is called.
    pub fn function_name(self) -> Option<String> {
        // SAFETY: the call information is valid, and so is the look-up, which is NULL where there is no such function.
        unsafe {
            let function = (*self.0).flinfo.as_ref()?;
            let name = pg_sys::get_func_name(function.fn_oid);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
        }
    }

    /// A `boolean` argument.
    pub fn bool(self, index: usize) -> Option<bool> {
        // SAFETY: the SQL declares such arguments as boolean.
        self.datum(index)
            .and_then(|datum| unsafe { bool::from_datum(datum, false) })
    }

    /// A `text[]` argument.
    pub fn texts(self, index: usize) -> Option<Vec<Option<String>>> {
        // SAFETY: the SQL declares such arguments as text[].
        self.datum(index)
            .and_then(|datum| unsafe { Vec::<Option<String>>::from_datum(datum, false) })
    }

    /// Where the rows of a function that returns a set go; they have the types that its SQL declares.
    pub fn rows(self) -> Rows {
        // SAFETY: Postgres calls such a function with a place for its result, and raises an error where it did not.
        unsafe {
            pg_sys::InitMaterializedSRF(self.0, 0);
            // Nodes are aligned for any type; the untyped step says so to the compiler.
            let result = (*self.0).resultinfo.cast::<std::ffi::c_void>();
            let result = result.cast::<pg_sys::ReturnSetInfo>();
            (*self.0).isnull = true;
            Rows((*result).setResult)
        }
    }

    /// What Postgres tells a trigger function; an error where it is called as another one.
    pub fn trigger_data(self) -> *mut pg_sys::TriggerData {
        // SAFETY: the call information is valid; its context is either NULL or a node whose tag says what it is.
        unsafe {
            let context = (*self.0).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                raise(
                    PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                    "this function can be called as a trigger only",
                    "Use it in CREATE TRIGGER.",
                )
            }
            context.cast()
        }
    }

    /// Returns NULL.
    #[inline]
    pub fn null(self) -> pg_sys::Datum {
        // SAFETY: the call information is valid.
        unsafe { (*self.0).isnull = true };
        pg_sys::Datum::null()
    }

    /// Returns a value, or NULL.
    #[inline]
    pub fn give<T: IntoDatum>(self, value: Option<T>) -> pg_sys::Datum {
        match value.and_then(IntoDatum::into_datum) {
            Some(datum) => datum,
            None => self.null(),
        }
    }

    /// Returns bytes that lie in several places as one value of variable length. They are less than 1 GB together.
    pub fn give_parts(parts: &[&[u8]]) -> pg_sys::Datum {
        let length = pg_sys::VARHDRSZ + parts.iter().map(|part| part.len()).sum::<usize>();
        // SAFETY: the result is as long as its parts and its header, which is written first. `palloc` refuses what
        // is too long, so that the length fits into the header.
        unsafe {
            let value = pg_sys::palloc(length).cast::<u8>();
            pgrx::set_varsize_4b(value.cast(), i32::try_from(length).unwrap_or(i32::MAX));
            let mut end = value.add(pg_sys::VARHDRSZ);
            for part in parts {
                std::ptr::copy_nonoverlapping(part.as_ptr(), end, part.len());
                end = end.add(part.len());
            }
            pg_sys::Datum::from(value)
        }
    }

    /// Returns an aggregate's state: the one that was there, or none yet.
    #[inline]
    pub fn keep_state(self) -> pg_sys::Datum {
        match self.datum(0) {
            Some(state) => state,
            None => self.null(),
        }
    }
}

fn raise_not_an_aggregate() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "this function is part of an aggregate",
        "Call the aggregate instead.",
    )
}

/// Moves a state into a memory context, which drops it when it goes away itself, after an error too.
pub fn place_state<T>(state: T, context: pg_sys::MemoryContext) -> pg_sys::Datum {
    pg_sys::Datum::from(pgrx::PgMemoryContexts::For(context).leak_and_drop_on_delete(state))
}

/// The context that a deserialized state lives in: that of the caller, which merges it at once.
pub fn current_context() -> pg_sys::MemoryContext {
    // SAFETY: reads a variable of this backend.
    unsafe { pg_sys::CurrentMemoryContext }
}
