//! Percentiles, sketches and one-pass statistics; knows nothing of Postgres.
//!
//! | module | what | exact? |
//! |---|---|---|
//! | [`exact`] | `percentile_cont` and `percentile_disc` by selection instead of sorting | yes |
//! | [`sketch`] | mergeable percentile sketch of bounded size | while small, then a guaranteed relative error |
//! | [`stats`] | count, sum, mean, variance, extremes in one pass, mergeable | yes: sums are kept without rounding |
//! | [`distinct`] | distinct counts on Apache `DataSketches` | while small, then about 1 % |
//! | [`sparkline`] | a series as one line of block characters | |
//!
//! Everything that merges is **order independent to the last bit**: any split of the rows, merged
//! in any order, gives the same bytes. Doubles are ordered as Postgres orders them:
//! `-inf < finite < inf < NaN`, and `-0.0 = 0.0`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::float_cmp))]

mod codec;
pub mod distinct;
mod error;
pub mod exact;
pub mod sketch;
mod sparkline;
pub mod stats;
mod sums;
mod wide;

pub use codec::DecodeError;
pub use distinct::DistinctSketch;
pub use error::Error;
pub use sketch::{HistogramRow, PercentileSketch};
pub use sparkline::sparkline;
pub use stats::Stats;
