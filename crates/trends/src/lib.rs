//! Anomalies, forecasts, seasons, change points and trends of one series; knows nothing of Postgres.
//!
//! | module | what |
//! |---|---|
//! | [`series`] | times and values in any order become a series of equal steps, with gaps |
//! | [`stream`] | anomaly scores in one pass, with constant memory, from the past only |
//! | [`anomalies`] | several detectors behind one interface, a default that chooses, groups of series, outliers |
//! | [`seasons`] | which periods a series repeats with |
//! | [`decompose`] | trend, seasons and remainder (STL, MSTL) |
//! | [`changes`] | where level or spread change (PELT) |
//! | [`trend`] | direction with significance (Mann and Kendall), slope with confidence (Theil and Sen) |
//! | [`forecast`] | forecasts by the methods that would have worked, with measured intervals; backtests |
//!
//! Shifting and scaling a series shifts and scales every answer, but for what knows of zero: counts, and seasons that
//! grow with the level. Long work asks a [`Watch`] now and then whether to go on.

#![cfg_attr(test, allow(clippy::unwrap_used))]
// Formulas keep the names and the order of their sources. Lengths that became doubles become lengths again, and are
// bounded where they do.
#![allow(
    clippy::many_single_char_names,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod anomalies;
pub mod changes;
pub mod decompose;
pub mod distributions;
mod error;
pub mod forecast;
pub mod robust;
pub mod seasons;
pub mod series;
pub mod stream;
pub mod trend;

pub use error::{Error, Unwatched, Watch};
