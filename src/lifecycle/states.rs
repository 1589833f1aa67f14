//! `state_agg` and `state_summary`: time in state, mergeable.
//!
//! A transition appends sixteen bytes to a buffer in the aggregate's memory, and eight more where observations have a
//! sequence number; names of states are kept once.

use std::collections::HashMap;

use lifecycle::states::{Event, NO_SEQUENCE, Summary, encode};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::{or_raise, raise_argument};
use crate::errors::{given, raise};
use crate::fmgr::{Call, current_context, place_state};
use crate::percentiles::stored::rest_of;
use crate::pgvec::PgVec;
use crate::sql_functions;

#[derive(Clone, Copy)]
struct Moment {
    at: i64,
    state: u32,
}

/// Observations of one group, in the order of the rows.
struct Group {
    names: PgVec<u8>,
    /// Where each name ends.
    ends: PgVec<usize>,
    moments: PgVec<Moment>,
    /// As long as `moments` once there is a sequence number, else empty.
    sequences: PgVec<i64>,
    last_state: u32,
    /// Only for more states than can be looked through.
    index: HashMap<Box<[u8]>, u32>,
}

/// Up to here comparing beats hashing.
const MOST_COMPARED: usize = 16;

impl Group {
    fn new_in(context: pg_sys::MemoryContext) -> Self {
        Self {
            names: PgVec::new_in(context),
            ends: PgVec::new_in(context),
            moments: PgVec::new_in(context),
            sequences: PgVec::new_in(context),
            last_state: 0,
            index: HashMap::new(),
        }
    }

    fn name(&self, state: u32) -> Option<&[u8]> {
        let ends = self.ends.as_slice();
        let state = state as usize;
        let start = match state.checked_sub(1) {
            Some(before) => *ends.get(before)?,
            None => 0,
        };
        self.names.as_slice().get(start..*ends.get(state)?)
    }

    #[inline]
    fn state(&mut self, name: &[u8]) -> u32 {
        if self.name(self.last_state) == Some(name) {
            return self.last_state;
        }
        self.last_state = self.find_or_add(name);
        self.last_state
    }

    fn find_or_add(&mut self, name: &[u8]) -> u32 {
        let count = u32::try_from(self.ends.as_slice().len()).unwrap_or(u32::MAX);
        if count as usize <= MOST_COMPARED {
            if let Some(found) = (0..count).find(|state| self.name(*state) == Some(name)) {
                return found;
            }
        } else if let Some(found) = self.index.get(name) {
            return *found;
        }
        self.names.extend(name);
        self.ends.push(self.names.as_slice().len());
        if count as usize == MOST_COMPARED {
            self.index = (0..count)
                .filter_map(|state| Some((self.name(state)?.into(), state)))
                .collect();
        }
        if count as usize >= MOST_COMPARED {
            self.index.insert(name.into(), count);
        }
        count
    }

    #[inline]
    fn add(&mut self, at: i64, name: &[u8], sequence: i64) {
        let state = self.state(name);
        if sequence != NO_SEQUENCE || !self.sequences.as_slice().is_empty() {
            while self.sequences.as_slice().len() < self.moments.as_slice().len() {
                self.sequences.push(NO_SEQUENCE);
            }
            self.sequences.push(sequence);
        }
        self.moments.push(Moment { at, state });
    }

    fn absorb(&mut self, bytes: &[u8]) {
        let summary = or_raise(Summary::new(bytes));
        for event in or_raise(summary.events()) {
            if let Some(name) = summary.names().get(event.state as usize) {
                self.add(event.at, name, event.sequence);
            }
        }
    }

    fn absorb_group(&mut self, other: &Self) {
        let mut sequences = other.sequences.as_slice().iter();
        for moment in other.moments.as_slice() {
            if let Some(name) = other.name(moment.state) {
                let sequence = sequences.next().copied().unwrap_or(NO_SEQUENCE);
                self.add(moment.at, name, sequence);
            }
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.ends.as_slice().len()).unwrap_or(u32::MAX);
        let names: Vec<&[u8]> = (0..count).filter_map(|state| self.name(state)).collect();
        let sequences = self.sequences.as_slice();
        let mut events: Vec<Event> = self
            .moments
            .as_slice()
            .iter()
            .enumerate()
            .map(|(index, moment)| Event {
                at: moment.at,
                sequence: sequences.get(index).copied().unwrap_or(NO_SEQUENCE),
                state: moment.state,
            })
            .collect();
        encode(&names, &mut events)
    }
}

/// The state of the aggregate, made in its memory where there is none yet.
fn with_group(call: Call, change: impl FnOnce(&mut Group)) -> pg_sys::Datum {
    if let Some(group) = call.state::<Group>(0) {
        change(group);
        return call.keep_state();
    }
    let context = call.aggregate_context();
    let mut group = Group::new_in(context);
    change(&mut group);
    place_state(group, context)
}

#[inline]
fn accumulate(call: Call, sequence: i64) -> pg_sys::Datum {
    let (Some(at), Some(name)) = (call.datum(1), call.bytes(2)) else {
        return call.keep_state();
    };
    #[allow(clippy::cast_possible_wrap)] // a timestamp is the eight bytes of a signed integer
    let at = at.value() as i64;
    if at == i64::MIN || at == i64::MAX {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "the time of a state is infinite",
            "Leave such rows out: WHERE isfinite(...).",
        )
    }
    with_group(call, |group| group.add(at, name, sequence))
}

#[allow(clippy::cast_possible_wrap)] // as above
fn time_argument(call: Call, index: usize) -> Option<i64> {
    call.datum(index).map(|datum| datum.value() as i64)
}

/// The bounds of the time that is looked at: NULL means from the first observation, and to the last one.
fn bounds(summary: &Summary, from_time: Option<i64>, to_time: Option<i64>) -> (i64, i64) {
    let to_time = match to_time {
        Some(i64::MAX) => raise_argument(
            "to_time",
            "infinity",
            "the open state would last for ever",
            "Give a time; NULL is the time of the last observation.",
        ),
        Some(to_time) => to_time,
        None => or_raise(summary.span()).map_or(i64::MIN, |span| span.1),
    };
    (from_time.unwrap_or(i64::MIN), to_time)
}

const DAY: i64 = 86_400_000_000;

/// As the difference of two timestamps is shown: days, and the rest of a day.
fn interval(microseconds: i64) -> Option<Interval> {
    let days = i32::try_from(microseconds / DAY).ok()?;
    Interval::new(0, days, microseconds % DAY).ok()
}

fn time(microseconds: i64) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(microseconds).ok()
}

fn name_of(summary: &Summary, state: u32) -> String {
    let name = summary
        .names()
        .get(state as usize)
        .copied()
        .unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

sql_functions! {
    fn state_agg_transition(call) { accumulate(call, NO_SEQUENCE) }
    fn state_agg_sequence_transition(call) {
        accumulate(call, time_argument(call, 3).unwrap_or(NO_SEQUENCE))
    }

    fn state_agg_combine(call) {
        match call.state::<Group>(1) {
            Some(other) => with_group(call, |group| group.absorb_group(other)),
            None => call.keep_state(),
        }
    }

    fn state_agg_serialize(call) {
        match call.state::<Group>(0) {
            Some(group) => Call::give_parts(&[&group.to_bytes()]),
            None => call.null(),
        }
    }

    fn state_agg_deserialize(call) {
        let Some(bytes) = call.bytes(0) else { return call.null() };
        let context = current_context();
        let mut group = Group::new_in(context);
        group.absorb(bytes);
        place_state(group, context)
    }

    fn state_rollup_transition(call) {
        match call.bytes(1) {
            Some(bytes) => with_group(call, |group| group.absorb(bytes)),
            None => call.keep_state(),
        }
    }

    fn state_summary_in(call) {
        // SAFETY: the argument of an input function is a C string, which is what byteain takes.
        let bytes = unsafe { pgrx::direct_function_call::<Vec<u8>>(pg_sys::byteain, &[call.datum(0)]) };
        let Some(bytes) = bytes else { return call.null() };
        or_raise(Summary::checked(&bytes));
        Call::give_parts(&[&bytes])
    }

    fn state_summary_recv(call) {
        let Some(message) = call.datum(0) else { return call.null() };
        let bytes = rest_of(message);
        or_raise(Summary::checked(&bytes));
        Call::give_parts(&[&bytes])
    }

    fn state_duration_in(call) {
        let (Some(bytes), Some(state)) = (call.bytes(0), call.bytes(1)) else { return call.null() };
        let summary = or_raise(Summary::new(bytes));
        let (from_time, to_time) = bounds(&summary, time_argument(call, 2), time_argument(call, 3));
        let Some(number) = summary.number(state) else { return call.give(interval(0)) };
        let mut total = 0_i64;
        or_raise(summary.periods(from_time, to_time, |period| {
            if period.state == number {
                total = total.saturating_add(period.end.saturating_sub(period.start));
            }
        }));
        call.give(interval(total))
    }

    fn state_num_entries(call) {
        let (Some(bytes), Some(state)) = (call.bytes(0), call.bytes(1)) else { return call.null() };
        let summary = or_raise(Summary::new(bytes));
        let (from_time, to_time) = bounds(&summary, None, None);
        let mut entries = 0_i64;
        if let Some(number) = summary.number(state) {
            or_raise(summary.periods(from_time, to_time, |period| entries += i64::from(period.state == number)));
        }
        call.give(Some(entries))
    }

    fn state_at(call) {
        let (Some(bytes), Some(time)) = (call.bytes(0), time_argument(call, 1)) else { return call.null() };
        match or_raise(or_raise(Summary::new(bytes)).state_at(time)) {
            Some(name) => Call::give_parts(&[name]),
            None => call.null(),
        }
    }

    fn state_first_time(call) {
        let Some(bytes) = call.bytes(0) else { return call.null() };
        let span = or_raise(or_raise(Summary::new(bytes)).span());
        call.give(span.and_then(|span| time(span.0)))
    }

    fn state_last_time(call) {
        let Some(bytes) = call.bytes(0) else { return call.null() };
        let span = or_raise(or_raise(Summary::new(bytes)).span());
        call.give(span.and_then(|span| time(span.1)))
    }
}

/// Rows of `state_timeline` of a summary given by its bytes; the SQL casts.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn state_rows(
    summary: Option<&[u8]>,
    from_time: Option<TimestampWithTimeZone>,
    to_time: Option<TimestampWithTimeZone>,
) -> TableIterator<
    'static,
    (
        name!(state, String),
        name!(start_time, Option<TimestampWithTimeZone>),
        name!(end_time, Option<TimestampWithTimeZone>),
    ),
> {
    let summary = or_raise(Summary::new(given(summary, "summary")));
    let (from_time, to_time) = bounds(&summary, from_time.map(i64::from), to_time.map(i64::from));
    let mut rows = Vec::new();
    or_raise(summary.periods(from_time, to_time, |period| {
        rows.push((
            name_of(&summary, period.state),
            time(period.start),
            time(period.end),
        ));
    }));
    TableIterator::new(rows)
}

/// Rows of `into_values`.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn state_totals(
    summary: Option<&[u8]>,
    from_time: Option<TimestampWithTimeZone>,
    to_time: Option<TimestampWithTimeZone>,
) -> TableIterator<
    'static,
    (
        name!(state, String),
        name!(duration, Option<Interval>),
        name!(entries, i64),
    ),
> {
    let summary = or_raise(Summary::new(given(summary, "summary")));
    let (from_time, to_time) = bounds(&summary, from_time.map(i64::from), to_time.map(i64::from));
    let totals = or_raise(summary.totals(from_time, to_time));
    let rows: Vec<_> = (0_u32..)
        .zip(totals)
        .map(|(state, (duration, entries))| (name_of(&summary, state), interval(duration), entries))
        .collect();
    TableIterator::new(rows)
}
