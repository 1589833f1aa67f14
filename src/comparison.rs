//! Significance tests of two groups: crate `comparison` as SQL functions, which are declared in `sql/comparison.sql`.

use ::comparison::{Finding, Sample};
use percentiles::PercentileSketch;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::percentiles::or_raise;

type Row = (
    Option<f64>,
    Option<f64>,
    Option<f64>,
    Option<f64>,
    Option<f64>,
    Option<f64>,
);

/// One row, of NULLs where there is too little to compare.
fn row(found: Option<Finding>) -> TableIterator<'static, Row> {
    let part = |of: fn(Finding) -> f64| found.map(of);
    TableIterator::once((
        part(|f| f.difference),
        part(|f| f.lower),
        part(|f| f.upper),
        part(|f| f.statistic),
        part(|f| f.p_value),
        part(|f| f.effect_size),
    ))
}

fn refuse(argument: &str, value: &dyn std::fmt::Display, problem: &str, hint: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{argument} \"{value}\" is not allowed: {problem}"),
        hint,
    )
}

fn counted(argument: &str, value: i64) -> u64 {
    u64::try_from(value).unwrap_or_else(|_| {
        refuse(
            argument,
            &value,
            "it is below zero",
            "Give a number of observations.",
        )
    })
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn two_proportion_test(
    successes_a: Option<i64>,
    total_a: Option<i64>,
    successes_b: Option<i64>,
    total_b: Option<i64>,
) -> TableIterator<
    'static,
    (
        name!(difference, Option<f64>),
        name!(difference_low, Option<f64>),
        name!(difference_high, Option<f64>),
        name!(statistic, Option<f64>),
        name!(p_value, Option<f64>),
        name!(effect_size, Option<f64>),
    ),
> {
    let (Some(a), Some(of_a), Some(b), Some(of_b)) = (successes_a, total_a, successes_b, total_b)
    else {
        return row(None);
    };
    for (name, part, whole) in [("successes_a", a, of_a), ("successes_b", b, of_b)] {
        if part > whole {
            refuse(
                name,
                &part,
                "it is greater than the total",
                "Give successes and trials.",
            )
        }
    }
    row(::comparison::two_proportions(
        counted("successes_a", a),
        counted("total_a", of_a),
        counted("successes_b", b),
        counted("total_b", of_b),
    ))
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn welch_test(
    mean_a: Option<f64>,
    stddev_a: Option<f64>,
    total_a: Option<i64>,
    mean_b: Option<f64>,
    stddev_b: Option<f64>,
    total_b: Option<i64>,
) -> TableIterator<
    'static,
    (
        name!(difference, Option<f64>),
        name!(difference_low, Option<f64>),
        name!(difference_high, Option<f64>),
        name!(statistic, Option<f64>),
        name!(p_value, Option<f64>),
        name!(effect_size, Option<f64>),
    ),
> {
    let sample = |names: [&str; 2], mean: Option<f64>, stddev: Option<f64>, total: Option<i64>| {
        if let Some(stddev) = stddev
            && stddev < 0.0
        {
            refuse(
                names[0],
                &stddev,
                "it is below zero",
                "Give a standard deviation.",
            )
        }
        Some(Sample {
            mean: mean?,
            stddev: stddev?,
            count: counted(names[1], total?),
        })
    };
    let a = sample(["stddev_a", "total_a"], mean_a, stddev_a, total_a);
    let b = sample(["stddev_b", "total_b"], mean_b, stddev_b, total_b);
    row(a.zip(b).and_then(|(a, b)| ::comparison::welch(a, b)))
}

/// Of sketches given by their bytes; the SQL casts.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe, cost = 100)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn rank_test(
    sketch_a: Option<&[u8]>,
    sketch_b: Option<&[u8]>,
) -> TableIterator<
    'static,
    (
        name!(difference, Option<f64>),
        name!(difference_low, Option<f64>),
        name!(difference_high, Option<f64>),
        name!(statistic, Option<f64>),
        name!(p_value, Option<f64>),
        name!(effect_size, Option<f64>),
    ),
> {
    let values = |bytes| or_raise(PercentileSketch::from_bytes(bytes)).weighted_values();
    let both = sketch_a.map(values).zip(sketch_b.map(values));
    row(both.and_then(|(a, b)| ::comparison::mann_whitney(&a, &b)))
}
