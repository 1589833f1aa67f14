//! Workspaces.

use super::{Averages, Criterion, Listener, Spent, Subject, criteria, efficiency, mean, total};
use crate::formulas::{PRIOR_RUNS, damped_growth, damped_share};

criteria! {
    /// What workspaces are ranked by.
    WorkspaceCriterion, "activity, efficiency, growth, innovation" {
        Activity, "activity", "total_runs";
        Efficiency, "efficiency", "wilson_lower_bound(successful_runs, finished_runs) / sqrt(relative_credits * relative_time)";
        Growth, "growth", "(current_runs - previous_runs) / (previous_runs + 20)";
        Innovation, "innovation", "new_agents / (active_agents + 5)";
    }
}

/// Agents that the denominator of `innovation` has besides those that are active.
const PRIOR_AGENTS: f64 = 5.0;

/// What a workspace did in a window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Workspace {
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
    /// Credits of all runs.
    pub credits_consumed: f64,
    /// Runs in the period whose growth is asked for: the window, where it has a beginning.
    pub current_runs: u64,
    /// Runs in the period of the same length before that.
    pub previous_runs: u64,
    /// Agents that ran in the window.
    pub active_agents: u64,
    /// Those of them that had never run before.
    pub new_agents: u64,
}

impl Subject for Workspace {
    type Criterion = WorkspaceCriterion;
    type Peers = Averages;

    fn peers<'a>(group: impl Iterator<Item = &'a Self> + Clone) -> Averages {
        Averages {
            credits_per_run: mean(
                group.clone().map(|workspace| workspace.credits_consumed),
                total(group.clone().map(|workspace| workspace.total_runs)),
            ),
            seconds_per_run: mean(
                group.clone().map(|workspace| workspace.total_seconds),
                total(group.map(|workspace| workspace.timed_runs)),
            ),
            median_seconds: 0.0,
        }
    }

    fn score(
        &self,
        criterion: WorkspaceCriterion,
        peers: &Averages,
        listener: &mut impl Listener,
    ) -> Option<f64> {
        let has_runs = match criterion {
            WorkspaceCriterion::Growth => self.current_runs > 0 || self.previous_runs > 0,
            _ => self.total_runs > 0,
        };
        if !has_runs {
            return None;
        }
        match criterion {
            WorkspaceCriterion::Activity => {
                let runs = self.total_runs as f64;
                listener.hear("total_runs", runs, "runs that started in the window");
                Some(runs)
            }
            WorkspaceCriterion::Efficiency => efficiency(
                &Spent {
                    successful_runs: self.successful_runs,
                    finished_runs: self.finished_runs,
                    credits: (self.credits_consumed, self.total_runs),
                    seconds: Some((self.total_seconds, self.timed_runs)),
                },
                peers,
                listener,
            ),
            WorkspaceCriterion::Growth => {
                listener.hear(
                    "current_runs",
                    self.current_runs as f64,
                    "runs that started in the window, or in the last 90 days where it has no beginning",
                );
                listener.hear(
                    "previous_runs",
                    self.previous_runs as f64,
                    "runs that started in the time of the same length before that",
                );
                listener.hear(
                    "prior_runs",
                    PRIOR_RUNS,
                    "runs that are added to the base, so that growth from little is little",
                );
                Some(damped_growth(self.current_runs, self.previous_runs))
            }
            WorkspaceCriterion::Innovation => {
                listener.hear(
                    "new_agents",
                    self.new_agents as f64,
                    "agents whose first run ever was in the window",
                );
                listener.hear(
                    "active_agents",
                    self.active_agents as f64,
                    "agents that ran in the window",
                );
                listener.hear(
                    "prior_agents",
                    PRIOR_AGENTS,
                    "agents that are added to these, so that a few say little",
                );
                Some(damped_share(
                    self.new_agents,
                    self.active_agents,
                    PRIOR_AGENTS,
                ))
            }
        }
    }

    fn evidence(&self, criterion: WorkspaceCriterion) -> Option<u64> {
        match criterion {
            WorkspaceCriterion::Efficiency => Some(self.finished_runs),
            WorkspaceCriterion::Activity
            | WorkspaceCriterion::Growth
            | WorkspaceCriterion::Innovation => None,
        }
    }
}
