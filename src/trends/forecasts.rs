//! Forecasts and backtests over arrays.

use pgrx::prelude::*;
use trends::forecast::{self, Method};
use trends::series::Series;

use super::{go_on, known, micros_of, or_raise, periods_of, refuse, series_of, time_at};

fn method_of(name: Option<&str>) -> Option<Method> {
    let name = name.filter(|name| *name != "auto")?;
    let known = Method::ALL.iter().copied().find(|m| m.name() == name);
    if known.is_none() {
        let names: Vec<&str> = Method::ALL.iter().map(|m| m.name()).collect();
        refuse(
            "method",
            name,
            "it is not a method",
            format!("Use auto or one of {}.", names.join(", ")),
        )
    }
    known
}

fn count_of(name: &'static str, value: Option<i32>, hint: &'static str) -> usize {
    match value.and_then(|v| usize::try_from(v).ok()) {
        Some(value) => value,
        None => refuse(
            name,
            value.map_or("NULL".to_owned(), |v| v.to_string()),
            "it is not a number of steps",
            hint,
        ),
    }
}

const HORIZON_HINT: &str = "Ask for 1 to 10000 steps.";

#[pg_extern(sql = false)]
#[allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    clippy::too_many_arguments
)] // as above
fn forecast(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    horizon: Option<i32>,
    level: Option<f64>,
    method: Option<&str>,
    periods: Option<Vec<Option<i32>>>,
    floor: Option<f64>,
    cap: Option<f64>,
    events: Option<Vec<Option<TimestampWithTimeZone>>>,
    threshold: Option<f64>,
) -> TableIterator<
    'static,
    (
        name!(step, i32),
        name!(ts, TimestampWithTimeZone),
        name!(value, f64),
        name!(lower, Option<f64>),
        name!(upper, Option<f64>),
        name!(trend, f64),
        name!(seasonal, f64),
        name!(event, f64),
        name!(probability_above, Option<f64>),
        name!(chosen_method, String),
    ),
> {
    let (times, values) = (times.unwrap_or_default(), values.unwrap_or_default());
    let series = series_of(&times, &values);
    let horizon = count_of("horizon", horizon, HORIZON_HINT);
    let options = forecast::Options {
        horizon,
        level: level.unwrap_or(0.95),
        method: method_of(method),
        periods: periods_of(periods),
        floor,
        cap,
        events: events.map_or_else(Vec::new, |events| {
            places_of(&series, &micros_of("events", &events), horizon)
        }),
    };
    let answer = or_raise(forecast::forecast(
        &series.values,
        Some(series.step),
        &options,
        &go_on,
    ));
    let method = answer.method_name();
    let rows: Vec<_> = (1..)
        .zip(&answer.points)
        .enumerate()
        .map(|(i, (step, point))| {
            (
                step,
                time_at(series.time(series.values.len() + i)),
                point.value,
                point.bounds.map(|b| b.0),
                point.bounds.map(|b| b.1),
                point.trend,
                point.seasonal,
                point.event,
                threshold.and_then(|t| answer.probability_above(i + 1, t)),
                method.clone(),
            )
        })
        .collect();
    TableIterator::new(rows)
}

/// The places that times fall on, from the first value to the end of the horizon.
fn places_of(series: &Series, times: &[i64], horizon: usize) -> Vec<usize> {
    let most = series
        .values
        .len()
        .saturating_add(horizon.min(forecast::MOST_HORIZON));
    let mut starts: Vec<i64> = (0..most).map(|place| series.time(place)).collect();
    starts.push(series.time(most));
    times
        .iter()
        .filter_map(|time| starts.partition_point(|start| start <= time).checked_sub(1))
        .filter(|place| *place < most)
        .collect()
}

#[pg_extern(sql = false)]
#[allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    clippy::too_many_arguments
)] // as above
fn backtest(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    horizon: Option<i32>,
    origins: Option<i32>,
    level: Option<f64>,
    method: Option<&str>,
    periods: Option<Vec<Option<i32>>>,
) -> TableIterator<
    'static,
    (
        name!(origin, TimestampWithTimeZone),
        name!(compared, i32),
        name!(smape, Option<f64>),
        name!(mase, Option<f64>),
        name!(coverage, f64),
        name!(chosen_method, String),
    ),
> {
    let (times, values) = (times.unwrap_or_default(), values.unwrap_or_default());
    let series = series_of(&times, &values);
    let options = forecast::Options {
        level: level.unwrap_or(0.95),
        method: method_of(method),
        periods: periods_of(periods),
        ..forecast::Options::new(count_of("horizon", horizon, HORIZON_HINT))
    };
    let origins = count_of("origins", origins, "Ask for 1 to 100 origins.");
    let results = or_raise(forecast::backtest(
        &series.values,
        Some(series.step),
        &options,
        origins,
        &go_on,
    ));
    let rows: Vec<_> = results
        .into_iter()
        .map(|result| {
            (
                time_at(series.time(result.origin)),
                i32::try_from(result.compared).unwrap_or(i32::MAX),
                known(result.smape),
                known(result.mase),
                result.coverage,
                result.method,
            )
        })
        .collect();
    TableIterator::new(rows)
}
