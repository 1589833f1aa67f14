//! The window aggregate `anomaly_score`.

use pgrx::pg_sys;
use pgrx::prelude::*;
use trends::stream::{LONGEST_PERIOD, Stream};

use super::refuse;
use crate::fmgr::{Call, place_state};
use crate::sql_functions;

/// The detector and what it said last.
struct Scored {
    stream: Stream,
    score: Option<f64>,
}

fn accumulate_score(call: Call, period: impl FnOnce() -> usize) -> pg_sys::Datum {
    if call.datum(0).is_none() {
        let stream = Stream::with_period(period());
        let mut state = Scored {
            stream,
            score: None,
        };
        state.take(call.f64(1));
        return place_state(state, call.aggregate_context());
    }
    if let Some(state) = call.state::<Scored>(0) {
        state.take(call.f64(1));
    }
    call.keep_state()
}

impl Scored {
    #[inline]
    fn take(&mut self, value: Option<f64>) {
        self.score = if let Some(value) = value {
            self.stream.push(value)
        } else {
            self.stream.skip();
            None
        };
    }
}

sql_functions! {
    fn anomaly_score_transition(call) { accumulate_score(call, || 0) }

    fn anomaly_score_seasonal_transition(call) {
        accumulate_score(call, || {
            // SAFETY: the SQL declares the argument as integer.
            let period = call.datum(2).and_then(|datum| unsafe { i32::from_datum(datum, false) });
            match period.and_then(|p| usize::try_from(p).ok()) {
                Some(period) if (2..=LONGEST_PERIOD).contains(&period) => period,
                _ => refuse(
                    "period",
                    period.map_or("NULL".to_owned(), |p| p.to_string()),
                    "it is not a number of values in a season",
                    format!("Give 2 to {LONGEST_PERIOD}, or leave it out."),
                ),
            }
        })
    }

    fn anomaly_score_final(call) {
        match call.state::<Scored>(0) {
            Some(state) => call.give(state.score),
            None => call.null(),
        }
    }
}
