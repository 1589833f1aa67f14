//! The boards: who is compared by which criterion, and how.
//!
//! A score is computed in one place, which can also tell about it: [`Subject::score`] hands every quantity that it
//! uses to a listener, so that an explanation cannot differ from the score.

mod agents;
mod users;
mod workspaces;

use percentiles::Stats;

pub use self::agents::{Agent, AgentCriterion};
pub use self::users::{User, UserCriterion, UserTotals};
pub use self::workspaces::{Workspace, WorkspaceCriterion};
use crate::formulas::{amount, relative_cost, wilson_lower_bound};
use crate::rank::{Entry, Method, Standing, rank};

/// Hears of a quantity that went into a score: its name, its value, and what it is.
pub trait Listener {
    /// Called once for each quantity.
    fn hear(&mut self, name: &'static str, value: f64, meaning: &'static str);
}

/// Listens to nothing.
pub struct Deaf;

impl Listener for Deaf {
    #[inline]
    fn hear(&mut self, _name: &'static str, _value: f64, _meaning: &'static str) {}
}

/// One quantity of an explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// What it is, in words.
    pub meaning: &'static str,
}

impl Listener for Vec<Term> {
    fn hear(&mut self, name: &'static str, value: f64, meaning: &'static str) {
        self.push(Term {
            name,
            value,
            meaning,
        });
    }
}

/// What a board ranks by.
pub trait Criterion: Copy + Ord + 'static {
    /// All of them.
    const ALL: &'static [Self];
    /// The names, for messages.
    const NAMES: &'static str;

    /// Its name in SQL.
    fn name(self) -> &'static str;

    /// The formula in words.
    fn formula(self) -> &'static str;

    /// The criterion of this name, if there is one.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|criterion| criterion.name() == name)
    }
}

/// An enumeration of criteria with the name and the formula of each.
macro_rules! criteria {
    ($(#[$meta:meta])* $type:ident, $names:literal { $($variant:ident, $name:literal, $formula:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type { $(#[doc = concat!("By `", $name, "`: `", $formula, "`.")] $variant),+ }

        impl Criterion for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            const NAMES: &'static str = $names;

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            fn formula(self) -> &'static str {
                match self { $(Self::$variant => $formula),+ }
            }
        }
    };
}

use criteria;

/// Who can be ranked.
pub trait Subject: Sized {
    /// What it is ranked by.
    type Criterion: Criterion;
    /// What the scores need to know about all of a board together.
    type Peers;

    /// Those of a group.
    fn peers<'a>(group: impl Iterator<Item = &'a Self> + Clone) -> Self::Peers
    where
        Self: 'a;

    /// The score, or none for who has nothing to be ranked by.
    fn score(
        &self,
        criterion: Self::Criterion,
        peers: &Self::Peers,
        listener: &mut impl Listener,
    ) -> Option<f64>;

    /// Runs behind a score that is an estimate; none where it is a count, which needs no evidence.
    fn evidence(&self, criterion: Self::Criterion) -> Option<u64>;
}

/// What the agents of a board did together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Averages {
    /// Credits per run.
    pub credits_per_run: f64,
    /// Seconds per run that has a runtime.
    pub seconds_per_run: f64,
    /// Median of the medians, each weighing as many as it has runs.
    pub median_seconds: f64,
}

/// Exact, and hence the same in whatever order the peers come.
fn mean(values: impl Iterator<Item = f64>, count: u128) -> f64 {
    let mut sum = Stats::new();
    values.for_each(|value| sum.add(amount(value)));
    if count == 0 {
        return 0.0;
    }
    sum.sum().map_or(0.0, |sum| sum / count as f64)
}

fn total(counts: impl Iterator<Item = u64>) -> u128 {
    counts.map(u128::from).sum()
}

fn success(successful: u64, finished: u64, listener: &mut impl Listener) -> Option<f64> {
    if finished == 0 {
        return None;
    }
    let (k, n) = (successful as f64, finished as f64);
    listener.hear("successful_runs", k, "runs that completed");
    listener.hear(
        "finished_runs",
        n,
        "runs that completed, failed, timed out or were cancelled",
    );
    listener.hear(
        "success_rate",
        k / n,
        "successful_runs / finished_runs: the plain proportion",
    );
    let bound = wilson_lower_bound(successful, finished);
    listener.hear(
        "wilson_lower_bound",
        bound,
        "the success rate that so many runs support, with 95 % confidence",
    );
    Some(bound)
}

/// What was spent for what: amounts come with the runs that they belong to.
struct Spent {
    successful_runs: u64,
    finished_runs: u64,
    credits: (f64, u64),
    seconds: Option<(f64, u64)>,
}

/// Successes per credit and time, in comparison with peers.
fn efficiency(spent: &Spent, peers: &Averages, listener: &mut impl Listener) -> Option<f64> {
    let bound = success(spent.successful_runs, spent.finished_runs, listener)?;
    let (credits, runs) = spent.credits;
    listener.hear(
        "credits_consumed",
        amount(credits),
        "credits of all runs in the window",
    );
    listener.hear(
        "peer_credits_per_run",
        peers.credits_per_run,
        "credits per run of all on the board",
    );
    let relative_credits = relative_cost(credits, runs, peers.credits_per_run);
    listener.hear(
        "relative_credits",
        relative_credits,
        "credits per run against those of the peers, with 20 average runs added",
    );
    let Some((seconds, timed_runs)) = spent.seconds else {
        return Some(bound / relative_credits);
    };
    listener.hear(
        "total_seconds",
        amount(seconds),
        "seconds of all runs that have a runtime",
    );
    listener.hear(
        "peer_seconds_per_run",
        peers.seconds_per_run,
        "seconds per run of all on the board",
    );
    let relative_time = relative_cost(seconds, timed_runs, peers.seconds_per_run);
    listener.hear(
        "relative_time",
        relative_time,
        "seconds per run against those of the peers, with 20 average runs added",
    );
    Some(bound / (relative_credits.sqrt() * relative_time.sqrt()))
}

/// One subject in one group, such as a timeframe: every criterion makes a board of each group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<K, S> {
    /// The group, such as the number of a timeframe.
    pub group: i32,
    /// Decides the order among ties.
    pub key: K,
    /// What is ranked.
    pub subject: S,
}

/// A row on a board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed<C> {
    /// Index of the row.
    pub row: usize,
    /// What the board ranks by.
    pub criterion: C,
    /// The score.
    pub score: f64,
    /// Where it stands.
    pub standing: Standing,
}

/// Scores and ranks all rows on the boards of all groups and of these criteria, in one pass. Estimates that rest on
/// fewer than `minimum_runs` runs are on no board, and count for the peers' averages all the same.
pub fn rank_boards<K: Ord + Copy, S: Subject>(
    rows: &[Row<K, S>],
    criteria: &[S::Criterion],
    minimum_runs: u64,
    method: Method,
) -> Vec<Placed<S::Criterion>> {
    let mut groups: Vec<usize> = (0..rows.len()).collect();
    let group_of = |index: &usize| rows.get(*index).map(|row| row.group);
    groups.sort_by_key(group_of);
    let mut entries = Vec::with_capacity(rows.len() * criteria.len());
    let mut origin = Vec::with_capacity(rows.len() * criteria.len());
    for group in groups.chunk_by(|a, b| group_of(a) == group_of(b)) {
        let members = group
            .iter()
            .filter_map(|index| rows.get(*index).map(|row| (*index, row)));
        let peers = S::peers(members.clone().map(|(_, row)| &row.subject));
        for criterion in criteria {
            for (index, row) in members.clone() {
                let enough = row
                    .subject
                    .evidence(*criterion)
                    .is_none_or(|runs| runs >= minimum_runs);
                if !enough {
                    continue;
                }
                let Some(score) = row.subject.score(*criterion, &peers, &mut Deaf) else {
                    continue;
                };
                entries.push(Entry {
                    board: (row.group, *criterion),
                    key: row.key,
                    score,
                });
                origin.push(index);
            }
        }
    }
    rank(&entries, method)
        .into_iter()
        .filter_map(|standing| {
            let entry = entries.get(standing.entry)?;
            Some(Placed {
                row: *origin.get(standing.entry)?,
                criterion: entry.board.1,
                score: entry.score,
                standing,
            })
        })
        .collect()
}

/// How the score of a row came about among the rows of its group; the last term is the score. Without one there is
/// nothing to be ranked by.
pub fn explain<K, S: Subject>(
    rows: &[Row<K, S>],
    row: &Row<K, S>,
    criterion: S::Criterion,
) -> Vec<Term> {
    let peers = S::peers(
        rows.iter()
            .filter(|other| other.group == row.group)
            .map(|other| &other.subject),
    );
    let mut terms = Vec::new();
    if let Some(score) = row.subject.score(criterion, &peers, &mut terms) {
        terms.hear("score", score, criterion.formula());
    }
    terms
}
