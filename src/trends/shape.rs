//! The structure of a series: trend, seasons, change points.

use pgrx::datum::Interval;
use pgrx::prelude::*;
use trends::series::{Series, Step};
use trends::{changes, decompose, seasons, trend};

use super::{go_on, known, or_raise, periods_of, refuse, series_of, time_at};
use crate::errors::raise;

#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn decompose_series(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    periods: Option<Vec<Option<i32>>>,
) -> TableIterator<
    'static,
    (
        name!(ts, TimestampWithTimeZone),
        name!(value, Option<f64>),
        name!(trend, Option<f64>),
        name!(seasonal, f64),
        name!(remainder, Option<f64>),
        name!(used_periods, Vec<i32>),
        name!(seasons, Vec<f64>),
    ),
> {
    let (times, values) = (times.unwrap_or_default(), values.unwrap_or_default());
    let series = series_of(&times, &values);
    let periods = periods_of(periods).unwrap_or_else(|| found_periods(&series));
    let parts = or_raise(decompose::decompose(&series.values, &periods, true, &go_on));
    let used: Vec<i32> = parts
        .periods
        .iter()
        .map(|p| i32::try_from(*p).unwrap_or(i32::MAX))
        .collect();
    let rows: Vec<_> = series
        .values
        .iter()
        .zip(&parts.trend)
        .zip(&parts.remainder)
        .enumerate()
        .map(|(place, ((value, trend), remainder))| {
            let each: Vec<f64> = parts
                .seasons
                .iter()
                .filter_map(|s| s.get(place).copied())
                .collect();
            (
                time_at(series.time(place)),
                known(*value),
                known(*trend),
                each.iter().sum(),
                known(*remainder),
                used.clone(),
                each,
            )
        })
        .collect();
    TableIterator::new(rows)
}

fn found_periods(series: &Series) -> Vec<usize> {
    let found = or_raise(seasons::seasons(&series.values, Some(series.step), &go_on));
    found.iter().map(|s| s.period).collect()
}

#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn seasonal_periods(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
) -> TableIterator<
    'static,
    (
        name!(period, i32),
        name!(duration, Interval),
        name!(strength, f64),
    ),
> {
    let (times, values) = (times.unwrap_or_default(), values.unwrap_or_default());
    let series = series_of(&times, &values);
    let found = or_raise(seasons::seasons(&series.values, Some(series.step), &go_on));
    let rows: Vec<_> = found
        .into_iter()
        .map(|season| {
            let period = i32::try_from(season.period).unwrap_or(i32::MAX);
            let parts = match series.step {
                Step::Fixed(micros) => (0, micros.saturating_mul(i64::from(period))),
                Step::Months(months) => {
                    (i32::try_from(months).unwrap_or(0).saturating_mul(period), 0)
                }
            };
            let duration = match Interval::new(parts.0, 0, parts.1) {
                Ok(duration) => duration,
                Err(error) => raise(
                    PgSqlErrorCode::ERRCODE_INTERVAL_FIELD_OVERFLOW,
                    error.to_string(),
                    "Give values of smaller steps.",
                ),
            };
            (period, duration, season.strength)
        })
        .collect();
    TableIterator::new(rows)
}

#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn change_points(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    sensitivity: Option<f64>,
) -> TableIterator<
    'static,
    (
        name!(ts, TimestampWithTimeZone),
        name!(kind, &'static str),
        name!(before, f64),
        name!(after, f64),
        name!(change, f64),
        name!(strength, f64),
        name!(confidence, f64),
    ),
> {
    let (times, values) = (times.unwrap_or_default(), values.unwrap_or_default());
    let series = series_of(&times, &values);
    let sensitivity = sensitivity.unwrap_or(0.5);
    if !(sensitivity > 0.0 && sensitivity < 1.0) {
        refuse(
            "sensitivity",
            sensitivity,
            "it is not between 0 and 1",
            "0.5 is usual; more finds more.",
        )
    }
    let found = or_raise(changes::change_points(&series.values, sensitivity, &go_on));
    let rows: Vec<_> = found
        .into_iter()
        .map(|change| {
            (
                time_at(series.time(change.at)),
                match change.kind {
                    changes::Kind::Level => "level",
                    changes::Kind::Spread => "variance",
                },
                change.before,
                change.after,
                change.after - change.before,
                change.strength,
                change.confidence,
            )
        })
        .collect();
    TableIterator::new(rows)
}

#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn trend_test(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    confidence: Option<f64>,
) -> TableIterator<
    'static,
    (
        name!(direction, &'static str),
        name!(slope_per_day, Option<f64>),
        name!(slope_lower, Option<f64>),
        name!(slope_upper, Option<f64>),
        name!(tau, Option<f64>),
        name!(p_value, Option<f64>),
        name!(num_vals, i32),
    ),
> {
    const DAY: f64 = 86_400_000_000.0;
    let (times, values) = (times.unwrap_or_default(), values.unwrap_or_default());
    let series = series_of(&times, &values);
    let confidence = confidence.unwrap_or(0.95);
    if !(confidence > 0.0 && confidence < 1.0) {
        refuse(
            "confidence",
            confidence,
            "it is not a share between 0 and 1",
            "0.95 is usual.",
        )
    }
    let count = i32::try_from(series.count()).unwrap_or(i32::MAX);
    let daily =
        |slope: f64| Some(slope * DAY / series.step.micros() as f64).filter(|s| s.is_finite());
    let row = match or_raise(trend::trend(&series.values, confidence, &go_on)) {
        None => ("unknown", None, None, None, None, None, count),
        Some(found) => {
            let direction = match found.slope {
                _ if found.p_value >= 1.0 - confidence => "none",
                slope if slope > 0.0 || (slope == 0.0 && found.tau > 0.0) => "up",
                _ => "down",
            };
            (
                direction,
                daily(found.slope),
                daily(found.slope_lower),
                daily(found.slope_upper),
                Some(found.tau),
                Some(found.p_value),
                count,
            )
        }
    };
    TableIterator::once(row)
}
