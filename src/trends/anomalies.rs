//! Anomaly detection over arrays.

use pgrx::prelude::*;
use trends::Error;
use trends::anomalies::{self, Detector, Kind};
use trends::series::Series;

use super::{go_on, known, micros_of, or_raise, periods_of, refuse, series_of, time_at};

fn direction(is_above: bool) -> &'static str {
    if is_above { "up" } else { "down" }
}

#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // what pgrx makes of arguments and rows
fn detect_anomalies(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    method: Option<&str>,
    sensitivity: Option<f64>,
    periods: Option<Vec<Option<i32>>>,
) -> TableIterator<
    'static,
    (
        name!(ts, TimestampWithTimeZone),
        name!(value, Option<f64>),
        name!(expected, Option<f64>),
        name!(lower, Option<f64>),
        name!(upper, Option<f64>),
        name!(score, Option<f64>),
        name!(is_anomaly, bool),
        name!(direction, Option<&'static str>),
        name!(severity, Option<&'static str>),
        name!(kind, Option<&'static str>),
        name!(reason, Option<String>),
    ),
> {
    let (times, values) = (times.unwrap_or_default(), values.unwrap_or_default());
    let series = series_of(&times, &values);
    let options = anomalies::Options {
        detector: or_raise(Detector::of(method.unwrap_or("auto"))),
        sensitivity: sensitivity.unwrap_or(0.5),
        periods: periods_of(periods),
    };
    let verdicts = or_raise(anomalies::detect(
        &series.values,
        Some(series.step),
        &options,
        &go_on,
    ));
    let rows: Vec<_> = verdicts
        .into_iter()
        .map(|verdict| {
            let is_value = verdict.is_anomaly && verdict.kind != Kind::Missing;
            (
                time_at(series.time(verdict.place)),
                known(verdict.value),
                verdict.expected.and_then(known),
                verdict.lower.and_then(known),
                verdict.upper.and_then(known),
                verdict.score,
                verdict.is_anomaly,
                is_value.then_some(direction(verdict.is_above)),
                verdict.severity(options.sensitivity),
                verdict.is_anomaly.then(|| verdict.kind.name()),
                verdict.reason(),
            )
        })
        .collect();
    TableIterator::new(rows)
}

#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn detect_group_anomalies(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    metrics: Option<Vec<Option<String>>>,
    values: Option<Vec<Option<f64>>>,
    sensitivity: Option<f64>,
) -> TableIterator<
    'static,
    (
        name!(ts, TimestampWithTimeZone),
        name!(score, Option<f64>),
        name!(is_anomaly, bool),
        name!(severity, Option<&'static str>),
        name!(distance, Option<f64>),
        name!(strongest_metric, Option<String>),
        name!(value, Option<f64>),
    ),
> {
    let (times, values, metrics) = (
        times.unwrap_or_default(),
        values.unwrap_or_default(),
        metrics.unwrap_or_default(),
    );
    if metrics.len() != times.len() || values.len() != times.len() {
        or_raise::<()>(Err(Error::Lengths {
            times: times.len(),
            values: values.len().min(metrics.len()),
        }));
    }
    let all = micros_of("times", &times);
    let mut names: Vec<&str> = metrics.iter().flatten().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if metrics.iter().any(Option::is_none) {
        refuse(
            "metrics",
            "NULL",
            "it is not a metric",
            "Leave out rows without a metric.",
        )
    }
    // All metrics on the same steps: those of all times together.
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let grid = or_raise(Series::new(&distinct, &vec![Some(0.0); distinct.len()]));
    let place_of = |time: i64| {
        distinct
            .binary_search(&time)
            .ok()
            .and_then(|i| grid.places.get(i))
            .map(|p| p.1)
    };
    let mut group = vec![vec![f64::NAN; grid.values.len()]; names.len()];
    for ((time, metric), value) in all.iter().zip(&metrics).zip(&values) {
        let row = metric.as_deref().and_then(|m| names.binary_search(&m).ok());
        let slot = row
            .and_then(|r| group.get_mut(r))
            .zip(place_of(*time))
            .and_then(|(g, p)| g.get_mut(p));
        if let Some(slot) = slot {
            if !slot.is_nan() {
                or_raise::<()>(Err(Error::DuplicateTime(*time)));
            }
            *slot = value
                .filter(|x| trends::series::is_measurement(*x))
                .unwrap_or(f64::NAN);
        }
    }
    let options = anomalies::Options {
        sensitivity: sensitivity.unwrap_or(0.5),
        ..anomalies::Options::default()
    };
    let verdicts = or_raise(anomalies::detect_group(
        &group,
        Some(grid.step),
        &options,
        &go_on,
    ));
    let limit = 1.0 - options.sensitivity;
    let rows: Vec<_> = verdicts
        .into_iter()
        .enumerate()
        .map(|(place, verdict)| {
            let strongest = verdict.strongest.filter(|_| verdict.is_anomaly);
            (
                time_at(grid.time(place)),
                verdict.score,
                verdict.is_anomaly,
                verdict
                    .score
                    .filter(|_| verdict.is_anomaly)
                    .map(|score| anomalies::severity(score, limit)),
                verdict.distance.and_then(known),
                strongest
                    .and_then(|i| names.get(i))
                    .map(|name| (*name).to_owned()),
                strongest
                    .and_then(|i| group.get(i))
                    .and_then(|g| g.get(place))
                    .copied()
                    .and_then(known),
            )
        })
        .collect();
    TableIterator::new(rows)
}

#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn outliers(
    values: Option<Vec<Option<f64>>>,
    sensitivity: Option<f64>,
) -> TableIterator<
    'static,
    (
        name!(index, i32),
        name!(value, Option<f64>),
        name!(lower, Option<f64>),
        name!(upper, Option<f64>),
        name!(score, Option<f64>),
        name!(is_outlier, bool),
        name!(direction, Option<&'static str>),
    ),
> {
    let values: Vec<f64> = values
        .unwrap_or_default()
        .into_iter()
        .map(|x| {
            x.filter(|x| trends::series::is_measurement(*x))
                .unwrap_or(f64::NAN)
        })
        .collect();
    let verdicts = or_raise(anomalies::outliers(&values, sensitivity.unwrap_or(0.5)));
    let rows: Vec<_> = (1..)
        .zip(values)
        .zip(verdicts)
        .map(|((index, value), verdict)| {
            (
                index,
                known(value),
                verdict.and_then(|v| known(v.lower)),
                verdict.and_then(|v| known(v.upper)),
                verdict.map(|v| v.score),
                verdict.is_some_and(|v| v.is_outlier),
                verdict
                    .filter(|v| v.is_outlier)
                    .map(|v| direction(v.is_above)),
            )
        })
        .collect();
    TableIterator::new(rows)
}
