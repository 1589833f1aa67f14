//! `distinct_agg` and `distinct_sketch`: distinct counts that merge.

use std::ffi::CStr;

use percentiles::DistinctSketch;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::or_raise;
use super::stored::Stored;
use crate::errors::raise;
use crate::fmgr::{Call, current_context, place_state};
use crate::sql_functions;

struct State {
    sketch: DistinctSketch,
    kind: Kind,
}

/// How values of a type are counted. The first four count as the `DataSketches` libraries of other languages count the
/// same values, so that sketches from there can be merged with ours; any other type is counted by the hash that
/// Postgres itself uses for its equality.
#[derive(Clone, Copy)]
enum Kind {
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Text of any kind, and bytea: by content.
    Bytes,
    /// Passed by reference with a fixed length, and equal when the bytes are: uuid.
    Fixed(usize),
    Hashed(*mut pg_sys::FmgrInfo, pg_sys::Oid),
}

impl Kind {
    /// The type of the second argument of this call; a domain's values count as those of its base type.
    fn of(call: Call) -> Self {
        // SAFETY: the call information is valid; the argument exists, so its type is known.
        let value_type =
            unsafe { pg_sys::getBaseType(pg_sys::get_fn_expr_argtype((*call.info()).flinfo, 1)) };
        match value_type {
            pg_sys::INT2OID => Self::Int16,
            pg_sys::INT4OID => Self::Int32,
            pg_sys::INT8OID => Self::Int64,
            pg_sys::FLOAT4OID => Self::Float32,
            pg_sys::FLOAT8OID => Self::Float64,
            pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BYTEAOID => Self::Bytes,
            pg_sys::UUIDOID => Self::Fixed(16),
            other => Self::hashed(other, call),
        }
    }

    fn hashed(value_type: pg_sys::Oid, call: Call) -> Self {
        // SAFETY: the entry of the type cache lives as long as the backend.
        unsafe {
            let entry = pg_sys::lookup_type_cache(
                value_type,
                pg_sys::TYPECACHE_HASH_EXTENDED_PROC_FINFO.cast_signed(),
            );
            if (*entry).hash_extended_proc_finfo.fn_oid == pg_sys::Oid::INVALID {
                raise(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
                    format!(
                        "values of type {} cannot be counted: the type has no hash",
                        CStr::from_ptr(pg_sys::format_type_be(value_type)).to_string_lossy()
                    ),
                    "Cast the value to text.",
                )
            }
            Self::Hashed(
                &raw mut (*entry).hash_extended_proc_finfo,
                (*call.info()).fncollation,
            )
        }
    }

    /// # Safety
    /// `datum` is a value of the type that this was made for.
    #[allow(clippy::cast_possible_truncation)] // the low bits of a datum are the value
    unsafe fn insert(self, sketch: &mut DistinctSketch, datum: pg_sys::Datum) {
        let bits = datum.value() as u64;
        // SAFETY: the representation of each type is as Postgres defines it.
        unsafe {
            match self {
                Self::Int16 => sketch.insert_u64(i64::from(bits as i16).cast_unsigned()),
                Self::Int32 => sketch.insert_u64(i64::from(bits as i32).cast_unsigned()),
                Self::Int64 => sketch.insert_u64(bits),
                Self::Float32 => insert_float(sketch, f64::from(f32::from_bits(bits as u32))),
                Self::Float64 => insert_float(sketch, f64::from_bits(bits)),
                Self::Bytes => {
                    let value = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
                    sketch.insert_bytes(pgrx::varlena_to_byte_slice(value));
                }
                Self::Fixed(length) => {
                    sketch.insert_bytes(std::slice::from_raw_parts(
                        datum.cast_mut_ptr::<u8>(),
                        length,
                    ));
                }
                Self::Hashed(function, collation) => {
                    let hash = pg_sys::FunctionCall2Coll(
                        function,
                        collation,
                        datum,
                        pg_sys::Datum::from(0_u64),
                    );
                    sketch.insert_u64(hash.value() as u64);
                }
            }
        }
    }
}

/// Zero has two signs and NaN many forms, and each counts once.
fn insert_float(sketch: &mut DistinctSketch, value: f64) {
    let canonical = if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    };
    sketch.insert_u64(canonical.to_bits());
}

sql_functions! {
    fn distinct_agg_transition(call) {
        let Some(datum) = call.datum(1) else { return call.keep_state() };
        if let Some(state) = call.state::<State>(0) {
            // SAFETY: an aggregate's argument keeps its type.
            unsafe { state.kind.insert(&mut state.sketch, datum) };
            return call.keep_state();
        }
        let mut state = State { sketch: or_raise(DistinctSketch::new()), kind: Kind::of(call) };
        // SAFETY: as above.
        unsafe { state.kind.insert(&mut state.sketch, datum) };
        place_state(state, call.aggregate_context())
    }

    fn distinct_agg_combine(call) {
        let Some(other) = call.state::<State>(1) else { return call.keep_state() };
        if let Some(state) = call.state::<State>(0) {
            state.sketch.merge(&other.sketch);
            return call.keep_state();
        }
        place_state(State { sketch: other.sketch.clone(), kind: other.kind }, call.aggregate_context())
    }

    fn distinct_agg_serialize(call) {
        match call.state::<State>(0) {
            Some(state) => state.sketch.give(),
            None => call.null(),
        }
    }

    fn distinct_agg_deserialize(call) {
        match DistinctSketch::argument(call, 0) {
            // What was counted in another process is only merged here: the kind is not used.
            Some(sketch) => place_state(State { sketch, kind: Kind::Bytes }, current_context()),
            None => call.null(),
        }
    }

    fn distinct_rollup_transition(call) {
        let Some(bytes) = call.bytes(1) else { return call.keep_state() };
        if let Some(state) = call.state::<State>(0) {
            or_raise(state.sketch.merge_bytes(bytes));
            return call.keep_state();
        }
        let sketch = or_raise(DistinctSketch::from_bytes(bytes));
        place_state(State { sketch, kind: Kind::Bytes }, call.aggregate_context())
    }

    fn approx_distinct(call) {
        call.give(DistinctSketch::argument(call, 0).map(|sketch| sketch.estimate().cast_signed()))
    }
}
