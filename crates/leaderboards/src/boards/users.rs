//! Users.

use super::{Averages, Criterion, Listener, Spent, Subject, criteria, efficiency, mean, total};
use crate::formulas::amount;

criteria! {
    /// What users are ranked by.
    UserCriterion, "activity, efficiency, contribution, savings" {
        Activity, "activity", "total_runs";
        Efficiency, "efficiency", "wilson_lower_bound(successful_runs, finished_runs) / relative_credits";
        Contribution, "contribution", "successful_runs / workspace_successful_runs";
        Savings, "savings", "expected_credits - credits_consumed";
    }
}

/// What a user did in a window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct User {
    /// Runs that started in the window.
    pub total_runs: u64,
    /// Runs that completed, failed, timed out or were cancelled.
    pub finished_runs: u64,
    /// Runs that completed.
    pub successful_runs: u64,
    /// Credits of all runs.
    pub credits_consumed: f64,
    /// What the same runs would have cost at the average price of each agent.
    pub expected_credits: f64,
}

/// What the users of a board did together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UserTotals {
    /// Runs of all users that completed.
    pub successful_runs: f64,
    /// Credits per run.
    pub credits_per_run: f64,
}

impl Subject for User {
    type Criterion = UserCriterion;
    type Peers = UserTotals;

    fn peers<'a>(group: impl Iterator<Item = &'a Self> + Clone) -> UserTotals {
        UserTotals {
            successful_runs: total(group.clone().map(|user| user.successful_runs)) as f64,
            credits_per_run: mean(
                group.clone().map(|user| user.credits_consumed),
                total(group.map(|user| user.total_runs)),
            ),
        }
    }

    fn score(
        &self,
        criterion: UserCriterion,
        peers: &UserTotals,
        listener: &mut impl Listener,
    ) -> Option<f64> {
        if self.total_runs == 0 {
            return None;
        }
        match criterion {
            UserCriterion::Activity => {
                let runs = self.total_runs as f64;
                listener.hear(
                    "total_runs",
                    runs,
                    "runs that the user started in the window",
                );
                Some(runs)
            }
            UserCriterion::Efficiency => efficiency(
                &Spent {
                    successful_runs: self.successful_runs,
                    finished_runs: self.finished_runs,
                    credits: (self.credits_consumed, self.total_runs),
                    seconds: None,
                },
                &Averages {
                    credits_per_run: peers.credits_per_run,
                    ..Averages::default()
                },
                listener,
            ),
            UserCriterion::Contribution => {
                listener.hear(
                    "successful_runs",
                    self.successful_runs as f64,
                    "runs of the user that completed",
                );
                listener.hear(
                    "workspace_successful_runs",
                    peers.successful_runs,
                    "those of all users of the board",
                );
                Some(if peers.successful_runs > 0.0 {
                    self.successful_runs as f64 / peers.successful_runs
                } else {
                    0.0
                })
            }
            UserCriterion::Savings => {
                let (expected, consumed) =
                    (amount(self.expected_credits), amount(self.credits_consumed));
                listener.hear(
                    "expected_credits",
                    expected,
                    "what the user's runs would have cost at the average price of each agent",
                );
                listener.hear("credits_consumed", consumed, "what they did cost");
                Some(expected - consumed)
            }
        }
    }

    fn evidence(&self, criterion: UserCriterion) -> Option<u64> {
        match criterion {
            UserCriterion::Efficiency => Some(self.finished_runs),
            UserCriterion::Activity | UserCriterion::Contribution | UserCriterion::Savings => None,
        }
    }
}
