//! `percentile_agg` and `percentile_sketch`: percentiles that merge.

use percentiles::PercentileSketch;
use percentiles::sketch::DEFAULT_ALPHA;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::stored::Stored;
use super::{Method, or_raise};
use crate::errors::raise;
use crate::fmgr::{Call, current_context, place_state};
use crate::sql_functions;

/// The sketch that an argument holds; none for NULL.
fn sketch(call: Call, index: usize) -> Option<PercentileSketch> {
    PercentileSketch::argument(call, index)
}

fn accumulate(call: Call, alpha: impl FnOnce() -> f64) -> pg_sys::Datum {
    let Some(value) = call.f64(1) else {
        return call.keep_state();
    };
    if let Some(state) = call.state::<PercentileSketch>(0) {
        state.insert(value);
        return call.keep_state();
    }
    let mut state = or_raise(PercentileSketch::new(alpha()));
    state.insert(value);
    place_state(state, call.aggregate_context())
}

/// A relative error that is NULL means the default, like one that is left out.
fn asked_alpha(call: Call) -> f64 {
    call.f64(2).unwrap_or(DEFAULT_ALPHA)
}

sql_functions! {
    fn percentile_agg_transition(call) { accumulate(call, || DEFAULT_ALPHA) }
    fn percentile_agg_error_transition(call) { accumulate(call, || asked_alpha(call)) }

    fn percentile_agg_combine(call) {
        let Some(other) = call.state::<PercentileSketch>(1) else { return call.keep_state() };
        if let Some(state) = call.state::<PercentileSketch>(0) {
            or_raise(state.merge(other));
            return call.keep_state();
        }
        place_state(other.clone(), call.aggregate_context())
    }

    fn percentile_agg_serialize(call) {
        match call.state::<PercentileSketch>(0) {
            Some(state) => state.give(),
            None => call.null(),
        }
    }

    fn percentile_agg_deserialize(call) {
        match sketch(call, 0) {
            Some(state) => place_state(state, current_context()),
            None => call.null(),
        }
    }

    fn percentile_rollup_transition(call) {
        let Some(bytes) = call.bytes(1) else { return call.keep_state() };
        if let Some(state) = call.state::<PercentileSketch>(0) {
            or_raise(state.merge_bytes(bytes));
            return call.keep_state();
        }
        place_state(or_raise(PercentileSketch::from_bytes(bytes)), call.aggregate_context())
    }

    fn approx_percentile(call) {
        let (Some(share), Some(sketch)) = (call.f64(0), sketch(call, 1)) else { return call.null() };
        call.give(or_raise(sketch.value_at(share)))
    }

    fn approx_percentile_array(call) {
        let Some(sketch) = sketch(call, 1) else { return call.null() };
        // SAFETY: the SQL declares the argument as float8[].
        let shares = call.datum(0).and_then(|datum| unsafe { Vec::<Option<f64>>::from_datum(datum, false) });
        let Some(shares) = shares else { return call.null() };
        let wanted: Vec<f64> = shares.iter().flatten().copied().collect();
        let answers = or_raise(sketch.values_at(&wanted));
        call.give(answers.map(|answers| super::exact::fill_in(&shares, answers)))
    }

    fn approx_percentile_rank(call) {
        let (Some(value), Some(sketch)) = (call.f64(0), sketch(call, 1)) else { return call.null() };
        call.give(sketch.rank_of(value))
    }

    fn percentile_sketch_num_vals(call) {
        call.give(sketch(call, 0).map(|sketch| sketch.count().cast_signed()))
    }
    fn percentile_sketch_mean(call) { call.give(sketch(call, 0).and_then(|sketch| sketch.mean())) }
    fn percentile_sketch_sum(call) { call.give(sketch(call, 0).and_then(|sketch| sketch.sum())) }
    fn percentile_sketch_min_val(call) { call.give(sketch(call, 0).and_then(|sketch| sketch.min())) }
    fn percentile_sketch_max_val(call) { call.give(sketch(call, 0).and_then(|sketch| sketch.max())) }
    fn percentile_sketch_error(call) { call.give(sketch(call, 0).map(|sketch| sketch.error())) }

    fn percentile_sketch_stddev(call) {
        let Some(sketch) = sketch(call, 0) else { return call.null() };
        call.give(match Method::of(call.bytes(1)) {
            Method::Sample => sketch.stddev_sample(),
            Method::Population => sketch.stddev_population(),
        })
    }
}

/// Rows of a histogram of a sketch given by its bytes; the SQL casts.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
fn sketch_histogram(
    sketch: &[u8],
    buckets: i32,
) -> TableIterator<
    'static,
    (
        name!(bucket, i32),
        name!(lower, f64),
        name!(upper, f64),
        name!(count, i64),
    ),
> {
    let Ok(wanted) = usize::try_from(buckets) else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("buckets \"{buckets}\" is not allowed: it is below zero"),
            "Ask for some ten or twenty buckets.",
        )
    };
    let sketch = or_raise(PercentileSketch::from_bytes(sketch));
    let rows = or_raise(sketch.histogram(wanted));
    TableIterator::new(
        (1..)
            .zip(rows)
            .map(|(bucket, row)| (bucket, row.lower, row.upper, row.count.cast_signed())),
    )
}
