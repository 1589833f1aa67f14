//! The parameters of a workload and what is wrong with bad ones.

use std::fmt;
use std::ops::RangeInclusive;

use crate::time::{DAY, HOUR};

/// Everything the workload depends on: equal parameters give equal runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Seed of all randomness.
    pub seed: u64,
    /// Runs in total, retries and sub-runs included.
    pub runs: u64,
    /// Number of workspaces; they are of unequal size, the first is the largest.
    pub workspaces: u32,
    /// Agents over all workspaces together; larger workspaces have more, each has at least one.
    pub agents: u32,
    /// Users of each workspace.
    pub users_per_workspace: u32,
    /// Length of the window, in days of 24 hours.
    pub days: u32,
    /// Exclusive end of the window in microseconds since 1970-01-01 00:00 UTC; the workload floors
    /// it to the hour.
    pub end_micros: i64,
}

/// 100,000 runs of the 90 days before 2026-01-01 00:00 UTC: 3 workspaces, 24 agents, 40 users each.
impl Default for Params {
    fn default() -> Self {
        Self {
            seed: 42,
            runs: 100_000,
            workspaces: 3,
            agents: 24,
            users_per_workspace: 40,
            days: 90,
            end_micros: 1_767_225_600_000_000,
        }
    }
}

impl Params {
    /// Allowed [`Params::runs`]; a demo wants at least 1,000, tests may want one.
    pub const RUNS: RangeInclusive<u64> = 1..=100_000_000;
    /// Allowed [`Params::workspaces`].
    pub const WORKSPACES: RangeInclusive<u32> = 1..=1_000;
    /// Allowed [`Params::agents`], which must not be fewer than the workspaces either.
    pub const AGENTS: RangeInclusive<u32> = 1..=10_000;
    /// Allowed [`Params::users_per_workspace`].
    pub const USERS: RangeInclusive<u32> = 1..=1_000_000;
    /// Allowed [`Params::days`].
    pub const DAYS: RangeInclusive<u32> = 1..=3_650;
    /// Allowed [`Params::end_micros`]: the years 2000 to 2199.
    pub const END_MICROS: RangeInclusive<i64> = 946_684_800_000_000..=7_258_118_400_000_000;

    /// Start of the window (inclusive), on a whole hour.
    pub fn start_micros(&self) -> i64 {
        self.floored_end() - i64::from(self.days) * DAY
    }

    /// Hours in the window.
    pub fn hours(&self) -> u32 {
        self.days * 24
    }

    pub(crate) fn floored_end(&self) -> i64 {
        self.end_micros - self.end_micros.rem_euclid(HOUR)
    }

    /// Says whether a workload can be made of these parameters.
    ///
    /// # Errors
    /// The first parameter that is out of its range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let out_of_range = [
            (!Self::RUNS.contains(&self.runs)).then_some(ParamError::Runs(self.runs)),
            (!Self::WORKSPACES.contains(&self.workspaces))
                .then_some(ParamError::Workspaces(self.workspaces)),
            (!Self::AGENTS.contains(&self.agents)).then_some(ParamError::Agents(self.agents)),
            (!Self::USERS.contains(&self.users_per_workspace))
                .then_some(ParamError::Users(self.users_per_workspace)),
            (!Self::DAYS.contains(&self.days)).then_some(ParamError::Days(self.days)),
            (!Self::END_MICROS.contains(&self.end_micros))
                .then_some(ParamError::End(self.end_micros)),
            (self.agents < self.workspaces).then_some(ParamError::FewerAgentsThanWorkspaces {
                agents: self.agents,
                workspaces: self.workspaces,
            }),
        ];
        out_of_range
            .into_iter()
            .flatten()
            .next()
            .map_or(Ok(()), Err)
    }
}

/// A parameter that no workload can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamError {
    /// [`Params::runs`] is out of range.
    Runs(u64),
    /// [`Params::workspaces`] is out of range.
    Workspaces(u32),
    /// [`Params::agents`] is out of range.
    Agents(u32),
    /// [`Params::users_per_workspace`] is out of range.
    Users(u32),
    /// [`Params::days`] is out of range.
    Days(u32),
    /// [`Params::end_micros`] is out of range.
    End(i64),
    /// Some workspace would have no agent.
    FewerAgentsThanWorkspaces {
        /// The agents asked for.
        agents: u32,
        /// The workspaces asked for.
        workspaces: u32,
    },
}

impl fmt::Display for ParamError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(value) => write!(formatter, "number of runs {value} is out of range"),
            Self::Workspaces(value) => {
                write!(formatter, "number of workspaces {value} is out of range")
            }
            Self::Agents(value) => write!(formatter, "number of agents {value} is out of range"),
            Self::Users(value) => {
                write!(
                    formatter,
                    "number of users per workspace {value} is out of range"
                )
            }
            Self::Days(value) => write!(formatter, "number of days {value} is out of range"),
            Self::End(value) => write!(
                formatter,
                "end of the window, {value} microseconds since 1970, is out of range"
            ),
            Self::FewerAgentsThanWorkspaces { agents, workspaces } => write!(
                formatter,
                "{agents} agents are too few for {workspaces} workspaces"
            ),
        }
    }
}

impl std::error::Error for ParamError {}

impl ParamError {
    /// What to do about it, as one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Runs(_) => between("runs", &Params::RUNS),
            Self::Workspaces(_) => between("workspaces", &Params::WORKSPACES),
            Self::Agents(_) => between("agents", &Params::AGENTS),
            Self::Users(_) => between("users per workspace", &Params::USERS),
            Self::Days(_) => between("days", &Params::DAYS),
            Self::End(_) => "Let the window end in the years 2000 to 2199.".to_owned(),
            Self::FewerAgentsThanWorkspaces { workspaces, .. } => {
                format!("Each workspace has at least one agent: ask for {workspaces} or more.")
            }
        }
    }
}

fn between<T: fmt::Display>(what: &str, range: &RangeInclusive<T>) -> String {
    format!("Ask for {} to {} {what}.", range.start(), range.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Params::default().validate(), Ok(()));
    }

    #[test]
    fn every_bad_parameter_is_named() {
        let ok = Params::default();
        let bad = [
            (
                Params {
                    runs: 0,
                    ..ok.clone()
                },
                ParamError::Runs(0),
            ),
            (
                Params {
                    runs: 100_000_001,
                    ..ok.clone()
                },
                ParamError::Runs(100_000_001),
            ),
            (
                Params {
                    workspaces: 0,
                    ..ok.clone()
                },
                ParamError::Workspaces(0),
            ),
            (
                Params {
                    agents: 10_001,
                    ..ok.clone()
                },
                ParamError::Agents(10_001),
            ),
            (
                Params {
                    users_per_workspace: 0,
                    ..ok.clone()
                },
                ParamError::Users(0),
            ),
            (
                Params {
                    days: 3_651,
                    ..ok.clone()
                },
                ParamError::Days(3_651),
            ),
            (
                Params {
                    end_micros: i64::MIN,
                    ..ok.clone()
                },
                ParamError::End(i64::MIN),
            ),
            (
                Params { agents: 2, ..ok },
                ParamError::FewerAgentsThanWorkspaces {
                    agents: 2,
                    workspaces: 3,
                },
            ),
        ];
        for (params, error) in bad {
            assert_eq!(params.validate(), Err(error));
            assert!(!error.to_string().is_empty() && error.hint().ends_with('.'));
        }
    }

    #[test]
    fn the_message_names_the_value_and_the_hint_the_range() {
        let error = ParamError::Days(0);
        assert_eq!(error.to_string(), "number of days 0 is out of range");
        assert_eq!(error.hint(), "Ask for 1 to 3650 days.");
    }

    #[test]
    fn the_window_is_whole_hours() {
        let params = Params {
            end_micros: 1_767_225_600_000_000 + HOUR / 2,
            ..Params::default()
        };
        assert_eq!(params.floored_end(), 1_767_225_600_000_000);
        assert_eq!(params.start_micros(), 1_767_225_600_000_000 - 90 * DAY);
    }
}
