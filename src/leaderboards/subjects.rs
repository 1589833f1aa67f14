//! Rows of SQL as subjects of the crate.

use leaderboards::boards::{Agent, Row, Subject, User, Workspace};
use pgrx::prelude::*;

use crate::errors::raise;

/// An array; NULL among the numbers counts as zero.
pub type Column<T> = Vec<Option<T>>;
pub type Rows<S> = Vec<Row<[u8; 16], S>>;

/// The rows of all timeframes of a board, as SQL aggregates them: for each row an element of the first two arrays, and
/// as many of the last two as the kind of subject has.
pub struct Columns {
    pub timeframes: Column<i32>,
    pub entities: Column<pgrx::Uuid>,
    pub counts: Column<i64>,
    pub amounts: Column<f64>,
}

/// A subject that can be made of numbers, in the order in which the SQL gives them.
pub trait Readable: Subject {
    const COUNTS: usize;
    const AMOUNTS: usize;

    fn read(count: impl Fn(usize) -> u64, amount: impl Fn(usize) -> f64) -> Self;
}

impl Readable for Agent {
    const COUNTS: usize = 5;
    const AMOUNTS: usize = 3;

    fn read(count: impl Fn(usize) -> u64, amount: impl Fn(usize) -> f64) -> Self {
        Self {
            total_runs: count(0),
            finished_runs: count(1),
            successful_runs: count(2),
            timed_runs: count(3),
            unique_users: count(4),
            total_seconds: amount(0),
            median_seconds: amount(1),
            credits_consumed: amount(2),
        }
    }
}

impl Readable for User {
    const COUNTS: usize = 3;
    const AMOUNTS: usize = 2;

    fn read(count: impl Fn(usize) -> u64, amount: impl Fn(usize) -> f64) -> Self {
        Self {
            total_runs: count(0),
            finished_runs: count(1),
            successful_runs: count(2),
            credits_consumed: amount(0),
            expected_credits: amount(1),
        }
    }
}

impl Readable for Workspace {
    const COUNTS: usize = 8;
    const AMOUNTS: usize = 2;

    fn read(count: impl Fn(usize) -> u64, amount: impl Fn(usize) -> f64) -> Self {
        Self {
            total_runs: count(0),
            finished_runs: count(1),
            successful_runs: count(2),
            timed_runs: count(3),
            current_runs: count(4),
            previous_runs: count(5),
            active_agents: count(6),
            new_agents: count(7),
            total_seconds: amount(0),
            credits_consumed: amount(1),
        }
    }
}

impl Columns {
    /// The rows, in the order of the arrays.
    pub fn rows<S: Readable>(&self) -> Rows<S> {
        let length = self.entities.len();
        let fits = self.timeframes.len() == length
            && self.timeframes.iter().all(Option::is_some)
            && self.entities.iter().all(Option::is_some)
            && self.counts.len() == length * S::COUNTS
            && self.amounts.len() == length * S::AMOUNTS;
        if !fits {
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "the arrays of a board do not fit together",
                "Aggregate them from the same rows, with the numbers that this kind of board has.",
            )
        }
        let subjects = self
            .counts
            .chunks_exact(S::COUNTS)
            .zip(self.amounts.chunks_exact(S::AMOUNTS));
        self.timeframes
            .iter()
            .zip(&self.entities)
            .zip(subjects)
            .filter_map(|((timeframe, entity), (counts, amounts))| {
                let count = |column| at(counts, column).and_then(|value| u64::try_from(value).ok());
                Some(Row {
                    group: (*timeframe)?,
                    key: *(*entity)?.as_bytes(),
                    subject: S::read(
                        |column| count(column).unwrap_or(0),
                        |column| at(amounts, column).unwrap_or(0.0),
                    ),
                })
            })
            .collect()
    }
}

fn at<T: Copy>(values: &[Option<T>], index: usize) -> Option<T> {
    values.get(index).copied().flatten()
}
