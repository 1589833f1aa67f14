//! Anomalies, forecasts and trends: crate `trends` as set-returning functions over arrays and as a window aggregate.
//! The SQL, and what reads rollups, is in `sql/trends/`.

mod anomalies;
mod forecasts;
mod score;
mod shape;

use pgrx::pg_sys;
use pgrx::prelude::*;
use trends::series::{MOST_PLACES, Series};
use trends::{Error, seasons};

use crate::errors::raise;

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
