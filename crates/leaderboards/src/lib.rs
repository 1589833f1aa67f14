//! Leaderboards: scores that weigh evidence, and ranks in which ties are ties; knows nothing of Postgres.
//!
//! | module | what |
//! |---|---|
//! | [`rank`] | competition, dense and ordinal ranks and percentiles, over any number of boards in one pass |
//! | [`award`] | what a rank or a percentile is worth: badge and tier |
//! | [`formulas`] | the statistics that the scores are made of |
//! | [`boards`] | the scores of agents, users and workspaces by criterion, and how each came about |
//!
//! Every score is finite, whatever the numbers are, and depends on the set of entities and not on their order: sums
//! over peers are exact (crate `percentiles`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::float_cmp))]

pub mod award;
pub mod boards;
pub mod formulas;
pub mod rank;

pub use award::{Badge, Tier};
pub use rank::{Entry, Method, Standing, rank};
