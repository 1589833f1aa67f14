//! Anomalies, forecasts and trends: crate `trends` as set-returning functions over arrays and as a window aggregate.
//! The SQL, and what reads rollups, is in `sql/trends.sql`.

use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;
use trends::anomalies::{self, Detector, Kind};
use trends::forecast::{self, Method};
use trends::series::{MOST_PLACES, Series, Step};
use trends::stream::{LONGEST_PERIOD, Stream};
use trends::{Error, changes, decompose, seasons, trend};

use crate::errors::raise;
use crate::fmgr::{Call, place_state};
use crate::sql_functions;

/// An array of times, as pgrx makes it; NULL is refused.
type Times = Vec<Option<TimestampWithTimeZone>>;

/// Asks Postgres whether the query was cancelled; the error unwinds from here.
#[allow(clippy::unnecessary_wraps)] // the shape of a watch
fn go_on() -> Result<(), Error> {
    pgrx::check_for_interrupts!();
    Ok(())
}

fn or_raise<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            let (message, hint) = match &error {
                Error::DuplicateTime(micros) => (
                    format!("time \"{}\" occurs more than once", shown(*micros)),
                    "Give one value for each time: aggregate first, for example by date_bin().".to_owned(),
                ),
                Error::Lengths { .. } => (
                    error.to_string(),
                    "Make both arrays from the same rows: array_agg(ts ORDER BY ts), array_agg(value ORDER BY ts).".to_owned(),
                ),
                Error::TooSparse { .. } => (
                    error.to_string(),
                    "Aggregate into larger buckets first, for example by date_bin().".to_owned(),
                ),
                Error::TooMany(_) => (
                    error.to_string(),
                    format!("Give at most {MOST_PLACES} values, or larger buckets."),
                ),
                Error::Option { hint, .. } => (error.to_string(), hint.clone()),
                _ => (error.to_string(), "Try again.".to_owned()),
            };
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                message,
                hint,
            )
        }
    }
}

fn shown(micros: i64) -> String {
    TimestampWithTimeZone::try_from(micros)
        .map_or_else(|_| micros.to_string(), ToIsoString::to_iso_string)
}

fn refuse(
    name: &'static str,
    value: impl std::fmt::Display,
    problem: &str,
    hint: impl Into<String>,
) -> ! {
    or_raise(Err(Error::option(name, value, problem, hint)))
}

/// Microseconds since 2000 of times that must all be there.
fn micros_of(name: &'static str, times: &Times) -> Vec<i64> {
    times
        .iter()
        .map(|time| match time.map(pg_sys::TimestampTz::from) {
            // Half of what the type holds, so that no step beyond the end overflows.
            Some(micros) if micros.unsigned_abs() < i64::MAX.unsigned_abs() / 2 => micros,
            Some(_) => refuse(
                name,
                "infinity",
                "it is not a point in time",
                "Leave out rows with infinite times.",
            ),
            None => refuse(
                name,
                "NULL",
                "a time is missing",
                "Leave out rows without a time.",
            ),
        })
        .collect()
}

fn time_at(micros: i64) -> TimestampWithTimeZone {
    TimestampWithTimeZone::try_from(micros).unwrap_or_else(|_| {
        raise(
            PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
            "the forecast leaves the range of timestamps",
            "Ask for a shorter horizon.",
        )
    })
}

fn series_of(times: &Times, values: &[Option<f64>]) -> Series {
    or_raise(Series::new(&micros_of("times", times), values))
}

/// Periods that were asked for; none for NULL.
fn periods_of(periods: Option<Vec<Option<i32>>>) -> Option<Vec<usize>> {
    const HINT: &str = "Give numbers of steps such as ARRAY[24, 168], an empty array for no season, or NULL to find them.";
    let periods = periods?;
    if periods.len() > seasons::MOST_SEASONS {
        refuse(
            "periods",
            format!("of {} elements", periods.len()),
            "these are too many",
            HINT,
        )
    }
    let periods = periods
        .into_iter()
        .map(|period| {
            match period
                .and_then(|p| usize::try_from(p).ok())
                .filter(|p| *p >= 2)
            {
                Some(period) => period,
                None => refuse(
                    "periods",
                    period.map_or("NULL".to_owned(), |p| p.to_string()),
                    "it is not a period",
                    HINT,
                ),
            }
        })
        .collect();
    Some(periods)
}

fn known(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

fn direction(is_above: bool) -> &'static str {
    if is_above { "up" } else { "down" }
}

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // what pgrx makes of arguments and rows
fn detect_anomalies(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    method: default!(Option<&str>, "'auto'"),
    sensitivity: default!(Option<f64>, 0.5),
    periods: default!(Option<Vec<Option<i32>>>, "NULL"),
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

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn detect_group_anomalies(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    metrics: Option<Vec<Option<String>>>,
    values: Option<Vec<Option<f64>>>,
    sensitivity: default!(Option<f64>, 0.5),
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

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn outliers(
    values: Option<Vec<Option<f64>>>,
    sensitivity: default!(Option<f64>, 0.5),
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

#[pg_extern(immutable, parallel_safe)]
#[allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    clippy::too_many_arguments
)] // as above
fn forecast(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    horizon: Option<i32>,
    level: default!(Option<f64>, 0.95),
    method: default!(Option<&str>, "'auto'"),
    periods: default!(Option<Vec<Option<i32>>>, "NULL"),
    floor: default!(Option<f64>, "NULL"),
    cap: default!(Option<f64>, "NULL"),
    events: default!(Option<Vec<Option<TimestampWithTimeZone>>>, "NULL"),
    threshold: default!(Option<f64>, "NULL"),
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

#[pg_extern(immutable, parallel_safe)]
#[allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    clippy::too_many_arguments
)] // as above
fn backtest(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    horizon: Option<i32>,
    origins: default!(Option<i32>, 5),
    level: default!(Option<f64>, 0.95),
    method: default!(Option<&str>, "'auto'"),
    periods: default!(Option<Vec<Option<i32>>>, "NULL"),
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

#[pg_extern(immutable, parallel_safe, name = "decompose")]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn decompose_series(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    periods: default!(Option<Vec<Option<i32>>>, "NULL"),
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

#[pg_extern(immutable, parallel_safe)]
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

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn change_points(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    sensitivity: default!(Option<f64>, 0.5),
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

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::needless_pass_by_value, clippy::type_complexity)] // as above
fn trend_test(
    times: Option<Vec<Option<TimestampWithTimeZone>>>,
    values: Option<Vec<Option<f64>>>,
    confidence: default!(Option<f64>, 0.95),
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

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use pgrx::prelude::*;

    #[pg_test]
    fn a_forecast_from_sql_is_that_of_the_crate() {
        let sql = "SELECT sum(f.value) FROM (SELECT array_agg('2026-01-01'::timestamptz + i * interval '1 hour' ORDER BY i) AS t,
                   array_agg(10 + 5 * sin(i * pi() / 12) ORDER BY i) AS v FROM generate_series(0, 239) AS i) AS s
                   CROSS JOIN LATERAL analytics.forecast(s.t, s.v, 24) AS f";
        let values: Vec<f64> = (0..240)
            .map(|i| 10.0 + 5.0 * (f64::from(i) * std::f64::consts::PI / 12.0).sin())
            .collect();
        let step = trends::series::Step::Fixed(3_600_000_000);
        let answer = trends::forecast::forecast(
            &values,
            Some(step),
            &trends::forecast::Options::new(24),
            &trends::Unwatched,
        );
        let expected: f64 = answer.map_or(f64::NAN, |a| a.points.iter().map(|p| p.value).sum());
        let found = Spi::get_one::<f64>(sql).ok().flatten().unwrap_or(f64::NAN);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        assert!((found - 240.0).abs() < 1.0, "{found}");
    }
}
