//! The agents, with the true parameters of everything they do.

use std::ops::Range;

use crate::catalog::{Kind, MODELS, Model, ORCHESTRATOR, agent_name, kind};
use crate::incidents::Incident;
use crate::kinds::{IncidentKind, LifecycleState};
use crate::law::{RuntimeLaw, solve};
use crate::life::Life;
use crate::numbers::{apportion, cumulate, index as position, whole};
use crate::params::Params;
use crate::random::{Rng, Stream};
use crate::releases::{Version, releases};
use crate::run::Uuid;
use crate::workspace::Workspace;

/// Part of every agent's runs that somebody cancels.
pub const CANCEL_RATE: f64 = 0.015;

/// An agent. Rates and medians are the truth outside incidents; they never drift.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Id of the agent.
    pub id: Uuid,
    /// Index of its workspace.
    pub workspace: usize,
    /// Place in its workspace by popularity, the most popular being 0.
    pub rank: usize,
    /// Name, unique in the workload.
    pub name: String,
    /// What it is for.
    pub agent_type: &'static str,
    /// The user who owns it.
    pub owner_id: Uuid,
    /// When it was created: no run starts before.
    pub created_at: i64,
    /// When it went out of use: no run starts at or after.
    pub retired_at: Option<i64>,
    /// Lifecycle state at the end of the window.
    pub state: LifecycleState,
    /// Releases in time order; the first is as old as the agent.
    pub versions: Vec<Version>,
    /// Weight of the agent within its workspace while in use.
    pub popularity: u64,
    /// Law of its runtimes, for a model with a runtime factor of 1 and without a timeout.
    pub runtime: RuntimeLaw,
    /// Where a run is cut off.
    pub timeout_seconds: f64,
    /// The models it uses, the most used first.
    pub models: Vec<ModelUse>,
    /// Probability that a finished run is completed.
    pub success_rate: f64,
    /// Probability that a finished run is cut off by its timeout.
    pub timeout_rate: f64,
    /// Probability that a finished run is cancelled: [`CANCEL_RATE`].
    pub cancel_rate: f64,
    /// Median runtime of its completed runs, over all of its models.
    pub median_runtime_seconds: f64,
    /// Median prompt tokens of a run.
    pub prompt_tokens: f64,
    /// Median completion tokens of a run.
    pub completion_tokens: f64,
    pub(crate) triggers: Vec<u64>,
    /// Cumulative shares of the models.
    pub(crate) model_shares: Vec<u64>,
}

/// How an agent uses a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelUse {
    /// The model.
    pub model: &'static Model,
    /// Part of the agent's runs.
    pub share: f64,
    /// Probability that a finished run with this model is completed.
    pub success_rate: f64,
    /// Probability that nothing fails or is cancelled: the run completes unless it takes too long.
    pub(crate) soundness: f64,
}

impl Agent {
    /// Whether runs may start at this time.
    pub fn is_active(&self, at: i64) -> bool {
        self.created_at <= at && self.retired_at.is_none_or(|retired| at < retired)
    }

    /// The release that was current at this time (the first, before any).
    pub fn version_at(&self, at: i64) -> &str {
        let current = self
            .versions
            .iter()
            .rev()
            .find(|version| version.released_at <= at);
        current
            .or(self.versions.first())
            .map_or("1.0.0", |version| &version.name)
    }

    pub(crate) fn is_orchestrator(&self) -> bool {
        self.agent_type == ORCHESTRATOR
    }
}

/// The agents of each workspace, as ranges of indices: one each, and the rest by size.
pub(crate) fn layout(agents: u32, workspaces: &[Workspace]) -> Vec<Range<usize>> {
    let extra = u64::from(agents) - workspaces.len() as u64;
    let extras = apportion(workspaces.iter().map(|workspace| workspace.size), extra);
    let starts: Vec<usize> = extras
        .iter()
        .enumerate()
        .map(|(w, &x)| w + position(x))
        .collect();
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

pub(crate) fn make(
    params: &Params,
    agents_of: &[Range<usize>],
    incidents: &[Incident],
) -> Vec<Agent> {
    let ranked = agents_of
        .iter()
        .enumerate()
        .flat_map(|(workspace, agents)| {
            agents
                .clone()
                .enumerate()
                .map(move |(rank, index)| (workspace, rank, index))
        });
    ranked
        .map(|(workspace, rank, index)| {
            let bad_release = incidents.iter().find(|incident| {
                incident.kind == IncidentKind::FailureSurge && incident.agent == Some(index)
            });
            agent(params, workspace, rank, index, bad_release)
        })
        .collect()
}

fn agent(
    params: &Params,
    workspace: usize,
    rank: usize,
    index: usize,
    bad_release: Option<&Incident>,
) -> Agent {
    let mut rng = Rng::keyed(params.seed, Stream::Agent, index as u64);
    let kind = kind(index);
    let life = Life::draw(params, rank, &mut rng);
    let runtime = runtime_law(kind, &mut rng);
    let models = model_mix(kind, &runtime, &mut rng);
    let owner = rng.below(u64::from(params.users_per_workspace));
    let versions = releases(&life, params.floored_end(), bad_release, &mut rng);
    Agent {
        id: Rng::keyed(params.seed, Stream::AgentId, index as u64).uuid_v4(),
        workspace,
        rank,
        name: agent_name(index),
        agent_type: kind.agent_type,
        owner_id: user_id(params.seed, workspace, owner),
        created_at: life.created_at,
        retired_at: life.retired_at,
        state: life.state,
        versions,
        popularity: popularity(rank, life.state),
        timeout_seconds: kind.timeout_seconds,
        success_rate: models
            .iter()
            .map(|used| used.share * used.success_rate)
            .sum(),
        timeout_rate: models
            .iter()
            .map(|used| used.share * (used.soundness - used.success_rate))
            .sum(),
        cancel_rate: CANCEL_RATE,
        median_runtime_seconds: completed_median(&runtime, &models, kind.timeout_seconds),
        prompt_tokens: between(&mut rng, kind.prompt_tokens),
        completion_tokens: between(&mut rng, kind.completion_tokens),
        triggers: cumulate(kind.triggers),
        model_shares: cumulate(models.iter().map(|used| whole(used.share * 1e6))),
        runtime,
        models,
    }
}

/// The id of a user: derived, so that a million users need no memory.
pub(crate) fn user_id(seed: u64, workspace: usize, user: u64) -> Uuid {
    Rng::keyed(seed, Stream::User, ((workspace as u64) << 32) | user).uuid_v4()
}

/// Zipf-like by rank; agents that are not in production are used less.
fn popularity(rank: usize, state: LifecycleState) -> u64 {
    let use_of_state = match state {
        LifecycleState::Production | LifecycleState::Archived => 1.0,
        LifecycleState::Deprecated => 0.5,
        LifecycleState::Staging => 0.25,
        LifecycleState::Testing => 0.15,
        LifecycleState::Draft => 0.04,
    };
    whole(1e6 * use_of_state * libm::pow(rank as f64 + 1.0, -0.9)).max(1)
}

fn runtime_law(kind: &Kind, rng: &mut Rng) -> RuntimeLaw {
    let median_seconds = between(rng, kind.median_seconds);
    RuntimeLaw {
        median_seconds,
        sigma: rng.range(0.55, 0.95),
        tail_share: rng.range(0.01, 0.04),
        tail_start_seconds: 3.0 * median_seconds,
        tail_exponent: rng.range(1.3, 2.0),
    }
}

/// One to four models, at random but none twice.
fn model_mix(kind: &Kind, runtime: &RuntimeLaw, rng: &mut Rng) -> Vec<ModelUse> {
    const SHARES: [&[f64]; 4] = [
        &[1.0],
        &[0.75, 0.25],
        &[0.6, 0.3, 0.1],
        &[0.5, 0.25, 0.15, 0.1],
    ];
    let base = between(rng, kind.success);
    let first = position(rng.below(MODELS.len() as u64));
    // Steps of 2 through 9 models meet each of them once.
    let chosen = (0..).map(|step| &MODELS[(first + 2 * step) % MODELS.len()]);
    let used = |(&share, model): (&f64, &'static Model)| {
        let soundness = (base + model.success_bonus).clamp(0.05, 0.985 - CANCEL_RATE);
        let in_time = runtime.cdf(kind.timeout_seconds / model.runtime_factor);
        ModelUse {
            model,
            share,
            soundness,
            success_rate: soundness * in_time,
        }
    };
    rng.pick(&SHARES).iter().zip(chosen).map(used).collect()
}

/// Median over the models' mixture, each weighted by the runs that it completes.
fn completed_median(runtime: &RuntimeLaw, models: &[ModelUse], timeout_seconds: f64) -> f64 {
    let completed_within = |seconds: f64| -> f64 {
        let of_model = |used: &ModelUse| {
            used.share * used.soundness * runtime.cdf(seconds / used.model.runtime_factor)
        };
        models.iter().map(of_model).sum()
    };
    solve(
        completed_within,
        0.5 * completed_within(timeout_seconds),
        timeout_seconds,
    )
}

fn between(rng: &mut Rng, [low, high]: [f64; 2]) -> f64 {
    rng.range(low, high)
}
