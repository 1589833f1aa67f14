//! `stats_agg` and `stats_summary`: count, sum, mean, variance and extremes in one pass, mergeable.

use super::stored::Stored;
use super::{Method, or_raise};
use crate::fmgr::{Call, current_context, place_state};
use crate::sql_functions;
use percentiles::Stats;

/// The summary that an argument holds; none for NULL.
fn summary(call: Call, index: usize) -> Option<Stats> {
    Stats::argument(call, index)
}

sql_functions! {
    fn stats_agg_transition(call) {
        let Some(value) = call.f64(1) else { return call.keep_state() };
        if let Some(state) = call.state::<Stats>(0) {
            state.add(value);
            return call.keep_state();
        }
        let mut state = Stats::new();
        state.add(value);
        place_state(state, call.aggregate_context())
    }

    fn stats_agg_combine(call) {
        let Some(other) = call.state::<Stats>(1) else { return call.keep_state() };
        if let Some(state) = call.state::<Stats>(0) {
            or_raise(state.merge(other));
            return call.keep_state();
        }
        place_state(other.clone(), call.aggregate_context())
    }

    fn stats_agg_serialize(call) {
        match call.state::<Stats>(0) {
            Some(state) => state.give(),
            None => call.null(),
        }
    }

    fn stats_agg_deserialize(call) {
        match summary(call, 0) {
            Some(state) => place_state(state, current_context()),
            None => call.null(),
        }
    }

    fn stats_rollup_transition(call) {
        let Some(other) = summary(call, 1) else { return call.keep_state() };
        if let Some(state) = call.state::<Stats>(0) {
            or_raise(state.merge(&other));
            return call.keep_state();
        }
        place_state(other, call.aggregate_context())
    }

    fn stats_summary_num_vals(call) { call.give(summary(call, 0).map(|summary| summary.count().cast_signed())) }
    fn stats_summary_sum(call) { call.give(summary(call, 0).and_then(|summary| summary.sum())) }
    fn stats_summary_mean(call) { call.give(summary(call, 0).and_then(|summary| summary.mean())) }
    fn stats_summary_min_val(call) { call.give(summary(call, 0).and_then(|summary| summary.min())) }
    fn stats_summary_max_val(call) { call.give(summary(call, 0).and_then(|summary| summary.max())) }

    fn stats_summary_stddev(call) {
        let Some(summary) = summary(call, 0) else { return call.null() };
        call.give(match Method::of(call.bytes(1)) {
            Method::Sample => summary.stddev_sample(),
            Method::Population => summary.stddev_population(),
        })
    }

    fn stats_summary_variance(call) {
        let Some(summary) = summary(call, 0) else { return call.null() };
        call.give(match Method::of(call.bytes(1)) {
            Method::Sample => summary.variance_sample(),
            Method::Population => summary.variance_population(),
        })
    }
}
