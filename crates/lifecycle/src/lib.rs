//! The life of things that have one state at a time; knows nothing of Postgres.
//!
//! | module | what |
//! |---|---|
//! | [`states`] | time in state: a timeline that is stored as bytes and merges exactly |
//! | [`survival`] | Kaplan-Meier with log-log intervals, log-rank test |
//! | [`rules`] | which states and transitions there are, and whether they make sense |
//! | [`graph`] | cycles of dependencies |
//! | [`compare`] | effect sizes and p-values for two samples |
//! | [`health`] | the health score of an agent |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::float_cmp))]

pub mod compare;
mod error;
pub mod graph;
pub mod health;
pub mod rules;
pub mod states;
pub mod survival;

pub use error::Error;
