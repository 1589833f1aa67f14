//! Agents.

use super::{
    Averages, Criterion, Listener, Spent, Subject, criteria, efficiency, mean, success, total,
};
use crate::formulas::{amount, certainty, speed_lower_bound, weighted_median};

criteria! {
    /// What agents are ranked by.
    AgentCriterion, "runs, success_rate, speed, efficiency, popularity" {
        Runs, "runs", "total_runs";
        SuccessRate, "success_rate", "wilson_lower_bound(successful_runs, finished_runs)";
        Speed, "speed", "peer_median_seconds / median_seconds * certainty";
        Efficiency, "efficiency", "wilson_lower_bound(successful_runs, finished_runs) / sqrt(relative_credits * relative_time)";
        Popularity, "popularity", "unique_users";
    }
}

/// What an agent did in a window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Agent {
    /// Runs that started in the window.
    pub total_runs: u64,
    /// Runs that completed, failed, timed out or were cancelled.
    pub finished_runs: u64,
    /// Runs that completed.
    pub successful_runs: u64,
    /// Runs that have a runtime.
    pub timed_runs: u64,
    /// Sum of these runtimes in seconds.
    pub total_seconds: f64,
    /// Median of these runtimes in seconds.
    pub median_seconds: f64,
    /// Credits of all runs.
    pub credits_consumed: f64,
    /// Different users for whom it ran.
    pub unique_users: u64,
}

impl Subject for Agent {
    type Criterion = AgentCriterion;
    type Peers = Averages;

    fn peers<'a>(group: impl Iterator<Item = &'a Self> + Clone) -> Averages {
        let mut medians: Vec<(f64, u64)> = group
            .clone()
            .map(|agent| (amount(agent.median_seconds), agent.timed_runs))
            .collect();
        Averages {
            credits_per_run: mean(
                group.clone().map(|agent| agent.credits_consumed),
                total(group.clone().map(|agent| agent.total_runs)),
            ),
            seconds_per_run: mean(
                group.clone().map(|agent| agent.total_seconds),
                total(group.map(|agent| agent.timed_runs)),
            ),
            median_seconds: weighted_median(&mut medians),
        }
    }

    fn score(
        &self,
        criterion: AgentCriterion,
        peers: &Averages,
        listener: &mut impl Listener,
    ) -> Option<f64> {
        if self.total_runs == 0 {
            return None;
        }
        match criterion {
            AgentCriterion::Runs => {
                let runs = self.total_runs as f64;
                listener.hear(
                    "total_runs",
                    runs,
                    "runs that started in the window, whatever became of them",
                );
                Some(runs)
            }
            AgentCriterion::SuccessRate => {
                success(self.successful_runs, self.finished_runs, listener)
            }
            AgentCriterion::Speed => {
                if self.timed_runs == 0 {
                    return None;
                }
                listener.hear(
                    "timed_runs",
                    self.timed_runs as f64,
                    "runs that have a runtime",
                );
                listener.hear(
                    "median_seconds",
                    amount(self.median_seconds),
                    "median of these runtimes",
                );
                listener.hear(
                    "peer_median_seconds",
                    peers.median_seconds,
                    "median of the medians of all agents of the board, each weighing as many as it has runs",
                );
                listener.hear(
                    "certainty",
                    certainty(self.timed_runs),
                    "e^(-2.456 / sqrt(timed_runs)): what few runs take off, so that luck does not lead",
                );
                Some(speed_lower_bound(
                    self.median_seconds,
                    self.timed_runs,
                    peers.median_seconds,
                ))
            }
            AgentCriterion::Efficiency => efficiency(
                &Spent {
                    successful_runs: self.successful_runs,
                    finished_runs: self.finished_runs,
                    credits: (self.credits_consumed, self.total_runs),
                    seconds: Some((self.total_seconds, self.timed_runs)),
                },
                peers,
                listener,
            ),
            AgentCriterion::Popularity => {
                let users = self.unique_users as f64;
                listener.hear(
                    "unique_users",
                    users,
                    "different users for whom it ran; an estimate above some 1,500",
                );
                Some(users)
            }
        }
    }

    fn evidence(&self, criterion: AgentCriterion) -> Option<u64> {
        match criterion {
            AgentCriterion::SuccessRate | AgentCriterion::Efficiency => Some(self.finished_runs),
            AgentCriterion::Speed => Some(self.timed_runs),
            AgentCriterion::Runs | AgentCriterion::Popularity => None,
        }
    }
}
