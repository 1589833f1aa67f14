//! Percentiles of an array, and sparklines.

use percentiles::exact::percentiles_cont;
use pgrx::prelude::*;

use super::exact::fill_in;
use super::or_raise;

/// The percentiles of an array: NULL among the values is skipped, NULL among the percentiles gives NULL.
#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value)] // what pgrx makes of an array
fn calculate_percentiles(
    values: Vec<Option<f64>>,
    percentiles: Vec<Option<f64>>,
) -> Option<Vec<Option<f64>>> {
    let mut numbers: Vec<f64> = values.into_iter().flatten().collect();
    let wanted: Vec<f64> = percentiles.iter().flatten().copied().collect();
    let answers = or_raise(percentiles_cont(&mut numbers, &wanted))?;
    Some(fill_in(&percentiles, answers))
}

/// One block character a value, from the least (lowest) to the greatest (highest); a gap for NULL.
#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value)] // what pgrx makes of an array
fn sparkline(values: Vec<Option<f64>>) -> String {
    percentiles::sparkline(&values)
}
