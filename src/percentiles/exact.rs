//! `percentile` and `percentiles`: exact, by selection over the values of a group.
//!
//! A transition appends eight bytes to a buffer in the aggregate's memory; all the work is done at the end. Combining
//! appends one buffer to another.

use percentiles::Error;
use percentiles::exact::{Spot, percentiles_cont, percentiles_disc};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::or_raise;
use crate::errors::raise;
use crate::fmgr::{Call, current_context, place_state};
use crate::pgvec::PgVec;
use crate::sql_functions;

/// Values of a group, and what is asked of them.
struct Group<T: Copy> {
    /// The second argument as Postgres stores it: eight bytes for one share, an array for several, nothing for NULL.
    asked: PgVec<u8>,
    values: PgVec<T>,
}

/// One state in serialized form is one value of Postgres, which holds less than 1 GB.
const MOST_SERIALIZED: usize = (1 << 30) - 64;

impl<T: Copy> Group<T> {
    fn new_in(context: pg_sys::MemoryContext, asked: &[u8]) -> Self {
        let mut group = Self {
            asked: PgVec::new_in(context),
            values: PgVec::new_in(context),
        };
        group.asked.extend(asked);
        group
    }

    /// Length of `asked`, `asked`, and the values as they lie in memory: both ends are processes of one server.
    fn serialize(&self) -> pg_sys::Datum {
        let asked = self.asked.as_slice();
        let values = self.values.as_bytes();
        if values.len() + asked.len() > MOST_SERIALIZED {
            raise(
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "a parallel worker holds {} bytes of values, which is more than it can hand on",
                    values.len()
                ),
                "Use percentile_agg(), or SET max_parallel_workers_per_gather = 0.",
            )
        }
        // An array of shares is far below 4 GB.
        let length = u32::try_from(asked.len()).unwrap_or(0).to_ne_bytes();
        Call::give_parts(&[&length, asked, values])
    }

    fn require_same(&self, asked: &[u8]) {
        if self.asked.as_slice() != asked {
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "the percentile changes within a group",
                "Give the same percentile for every row of a group, or add it to GROUP BY.",
            )
        }
    }
}

/// A serialized state as it came from a worker. Combining is all that is done with it, at once and while Postgres keeps
/// the bytes, so they are copied only there: a state of millions of values is as large as what it was made from.
#[derive(Clone, Copy)]
struct Received<'a> {
    asked: &'a [u8],
    values: &'a [u8],
}

impl<'a> Received<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (asked, values) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        Some(Self { asked, values })
    }
}

/// The second argument as bytes: of a share its bits, of an array its whole content.
fn asked_share(call: Call) -> Option<[u8; 8]> {
    call.f64(2).map(f64::to_ne_bytes)
}

fn accumulate<T: Copy>(
    call: Call,
    asked: &[u8],
    value: impl FnOnce(pg_sys::Datum) -> T,
) -> pg_sys::Datum {
    let Some(datum) = call.datum(1) else {
        return call.keep_state();
    };
    if let Some(group) = call.state::<Group<T>>(0) {
        group.require_same(asked);
        group.values.push(value(datum));
        return call.keep_state();
    }
    let context = call.aggregate_context();
    let mut group = Group::<T>::new_in(context, asked);
    group.values.push(value(datum));
    place_state(group, context)
}

fn combine<T: Copy>(call: Call) -> pg_sys::Datum {
    let Some(other) = call.state::<Received>(1).copied() else {
        return call.keep_state();
    };
    if let Some(group) = call.state::<Group<T>>(0) {
        group.require_same(other.asked);
        // SAFETY: the values that `serialize` took from a state of the same aggregate.
        unsafe { group.values.extend_from_bytes(other.values) };
        return call.keep_state();
    }
    let context = call.aggregate_context();
    let mut group = Group::<T>::new_in(context, other.asked);
    // SAFETY: as above.
    unsafe { group.values.extend_from_bytes(other.values) };
    place_state(group, context)
}

fn serialize<T: Copy>(call: Call) -> pg_sys::Datum {
    match call.state::<Group<T>>(0) {
        Some(group) => group.serialize(),
        None => call.null(),
    }
}

/// The state that it gives is what `combine` takes as its second argument, and nothing else does.
fn deserialize(call: Call) -> pg_sys::Datum {
    match call.bytes(0).and_then(Received::parse) {
        Some(received) => place_state(received, current_context()),
        None => call.null(),
    }
}

fn float_of(datum: pg_sys::Datum) -> f64 {
    f64::from_bits(datum.value() as u64)
}

type Select = fn(&mut [f64], &[f64]) -> Result<Option<Vec<f64>>, Error>;

/// The answer for one share; NULL for a share that is NULL.
fn finish_one(call: Call, select: Select) -> pg_sys::Datum {
    let Some(group) = call.state::<Group<f64>>(0) else {
        return call.null();
    };
    let share = group
        .asked
        .as_slice()
        .first_chunk::<8>()
        .map(|bits| f64::from_ne_bytes(*bits));
    let answers = share.and_then(|share| or_raise(select(group.values.as_mut_slice(), &[share])));
    call.give(answers.and_then(|answers| answers.first().copied()))
}

/// The answers for an array of shares, NULL for those that are NULL.
fn finish_many(call: Call, select: Select) -> pg_sys::Datum {
    let Some(group) = call.state::<Group<f64>>(0) else {
        return call.null();
    };
    let Some(shares) = shares_of(group.asked.as_slice()) else {
        return call.null();
    };
    let wanted: Vec<f64> = shares.iter().flatten().copied().collect();
    let Some(answers) = or_raise(select(group.values.as_mut_slice(), &wanted)) else {
        return call.null();
    };
    call.give(Some(fill_in(&shares, answers)))
}

/// Puts one answer in the place of each share that is not NULL.
pub(super) fn fill_in<T>(shares: &[Option<f64>], answers: Vec<T>) -> Vec<Option<T>> {
    let mut answers = answers.into_iter();
    shares
        .iter()
        .map(|share| share.and_then(|_| answers.next()))
        .collect()
}

/// The array that a transition has kept; none where it was NULL.
fn shares_of(asked: &[u8]) -> Option<Vec<Option<f64>>> {
    if asked.is_empty() {
        return None;
    }
    // The same bytes as the argument had, as a value of Postgres again.
    let array = asked.into_datum()?;
    // SAFETY: the SQL declares the argument as float8[].
    unsafe { Vec::<Option<f64>>::from_datum(array, false) }
}

sql_functions! {
    fn percentile_transition(call) {
        match asked_share(call) {
            Some(share) => accumulate::<f64>(call, &share, float_of),
            None => accumulate::<f64>(call, &[], float_of),
        }
    }

    fn percentiles_transition(call) {
        accumulate::<f64>(call, call.bytes(2).unwrap_or_default(), float_of)
    }

    fn percentile_combine(call) { combine::<f64>(call) }
    fn percentile_serialize(call) { serialize::<f64>(call) }
    fn percentile_deserialize(call) { deserialize(call) }

    fn percentile_final(call) { finish_one(call, percentiles_cont) }
    fn percentiles_final(call) { finish_many(call, percentiles_cont) }
    fn percentile_discrete_final(call) { finish_one(call, percentiles_disc) }
    fn percentiles_discrete_final(call) { finish_many(call, percentiles_disc) }

    fn percentile_interval_transition(call) {
        // SAFETY: the SQL declares the argument as interval, which is passed by reference.
        let interval = |datum: pg_sys::Datum| unsafe { *datum.cast_mut_ptr::<pg_sys::Interval>() };
        match asked_share(call) {
            Some(share) => accumulate::<pg_sys::Interval>(call, &share, interval),
            None => accumulate::<pg_sys::Interval>(call, &[], interval),
        }
    }

    fn percentile_interval_combine(call) { combine::<pg_sys::Interval>(call) }
    fn percentile_interval_serialize(call) { serialize::<pg_sys::Interval>(call) }
    fn percentile_interval_deserialize(call) { deserialize(call) }

    fn percentile_interval_final(call) {
        let Some(group) = call.state::<Group<pg_sys::Interval>>(0) else { return call.null() };
        let share = group.asked.as_slice().first_chunk::<8>().map(|bits| f64::from_ne_bytes(*bits));
        match share.and_then(|share| select_interval(group.values.as_mut_slice(), share)) {
            Some(interval) => interval,
            None => call.null(),
        }
    }
}

/// `percentile_cont` of intervals, as Postgres computes it: `lo + (hi - lo) * share`, with the operators of interval.
fn select_interval(values: &mut [pg_sys::Interval], share: f64) -> Option<pg_sys::Datum> {
    let spot = or_raise(Spot::locate(values.len(), share))?;
    let mut lower = nth_interval(values, spot.first)?;
    if spot.first == spot.second {
        return Some(copy_interval(lower));
    }
    let mut upper = nth_interval(values, spot.second)?;
    // SAFETY: arithmetic of Postgres on two intervals that live until it returns; overflow is an ERROR there.
    unsafe {
        let lower = pg_sys::Datum::from(&raw mut lower);
        let upper = pg_sys::Datum::from(&raw mut upper);
        let difference = call2(pg_sys::interval_mi, upper, lower)?;
        let part = call2(
            pg_sys::interval_mul,
            difference,
            spot.proportion.into_datum()?,
        )?;
        call2(pg_sys::interval_pl, lower, part)
    }
}

type PgFunction = unsafe fn(pg_sys::FunctionCallInfo) -> pg_sys::Datum;

/// # Safety
/// `function` takes two arguments of the types of `a` and `b`.
unsafe fn call2(function: PgFunction, a: pg_sys::Datum, b: pg_sys::Datum) -> Option<pg_sys::Datum> {
    // SAFETY: as promised by the caller.
    unsafe { pgrx::direct_function_call_as_datum(function, &[Some(a), Some(b)]) }
}

fn nth_interval(values: &mut [pg_sys::Interval], rank: u64) -> Option<pg_sys::Interval> {
    let rank = usize::try_from(rank).ok()?;
    (rank < values.len()).then(|| *values.select_nth_unstable_by_key(rank, interval_order).1)
}

/// Postgres compares intervals with months of 30 days and days of 24 hours (`interval_cmp_value`).
fn interval_order(interval: &pg_sys::Interval) -> i128 {
    const DAY: i128 = 86_400_000_000;
    i128::from(interval.time) + (i128::from(interval.month) * 30 + i128::from(interval.day)) * DAY
}

fn copy_interval(interval: pg_sys::Interval) -> pg_sys::Datum {
    // SAFETY: the copy is made in the caller's context, where a result belongs.
    unsafe {
        let copy = pg_sys::palloc(size_of::<pg_sys::Interval>()).cast::<pg_sys::Interval>();
        copy.write(interval);
        pg_sys::Datum::from(copy)
    }
}
