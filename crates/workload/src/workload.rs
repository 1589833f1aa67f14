//! The workload: what is worked out once, and the door to its chunks.

use std::ops::Range;

use crate::agent::{self, Agent};
use crate::incidents::{self, Incident};
use crate::numbers::cumulate;
use crate::params::{ParamError, Params};
use crate::random::{Rng, Stream, mix};
use crate::run::{SessionId, Uuid};
use crate::time::MINUTE;
use crate::traffic::{Hour, Traffic};
use crate::workspace::{self, Workspace};

/// Runs of every chunk but the last, which may have fewer.
pub const RUNS_PER_CHUNK: u64 = 65_536;

/// A workload. Making one costs time and memory by its hours, workspaces and agents, never by its
/// runs; it is immutable and may be shared between threads.
#[derive(Debug)]
pub struct Workload {
    params: Params,
    workspaces: Vec<Workspace>,
    agents: Vec<Agent>,
    incidents: Vec<Incident>,
    pub(crate) traffic: Traffic,
    teams: Vec<Team>,
}

/// The agents of a workspace.
#[derive(Debug)]
struct Team {
    agents: Range<usize>,
    popularity: Vec<u64>,
    mean_runtime: f64,
}

impl Workload {
    /// Works out everything that does not depend on single runs.
    ///
    /// # Errors
    /// The first parameter that is out of its range.
    pub fn new(mut params: Params) -> Result<Self, ParamError> {
        params.validate()?;
        params.end_micros = params.floored_end();
        let workspaces = workspace::make(params.seed, params.workspaces);
        let agents_of = agent::layout(params.agents, &workspaces);
        let incidents = incidents::schedule(&params, &workspaces, &agents_of);
        let agents = agent::make(&params, &agents_of, &incidents);
        Ok(Self {
            traffic: Traffic::new(&params, &workspaces, &incidents),
            teams: agents_of
                .into_iter()
                .map(|range| Team::new(range, &agents))
                .collect(),
            params,
            workspaces,
            agents,
            incidents,
        })
    }

    /// The parameters, the end of the window floored to the hour.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Start of the window (inclusive) in microseconds since 1970.
    pub fn start_micros(&self) -> i64 {
        self.params.start_micros()
    }

    /// End of the window (exclusive) in microseconds since 1970.
    pub fn end_micros(&self) -> i64 {
        self.params.end_micros
    }

    /// The workspaces, the largest first.
    pub fn workspaces(&self) -> &[Workspace] {
        &self.workspaces
    }

    /// The agents, by workspace and popularity.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The incidents, in time order.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// The id of the n-th user of a workspace, n below [`Params::users_per_workspace`].
    pub fn user_id(&self, workspace: usize, user: u64) -> Uuid {
        agent::user_id(self.params.seed, workspace, user)
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> u64 {
        self.params.runs.div_ceil(RUNS_PER_CHUNK)
    }

    pub(crate) fn hour(&self, hour: u64) -> Hour {
        self.traffic.hour(hour, &self.workspaces, &self.incidents)
    }

    /// Mean of the typical runtimes of a workspace's agents, by popularity.
    pub(crate) fn mean_runtime(&self, workspace: usize) -> f64 {
        self.teams[workspace].mean_runtime
    }

    /// An agent that is in use at this time. The most popular always is, and stands in where a
    /// few draws find only agents that are not.
    pub(crate) fn pick_agent(&self, workspace: usize, at: i64, rng: &mut Rng) -> usize {
        const DRAWS: usize = 4;
        let team = &self.teams[workspace];
        (0..DRAWS)
            .map(|_| team.agents.start + rng.weighted(&team.popularity))
            .find(|&agent| self.agents[agent].is_active(at))
            .unwrap_or(team.agents.start)
    }

    /// One session for what a user does with an agent in a quarter of an hour.
    pub(crate) fn session_id(&self, user: Uuid, agent: usize, at: i64) -> SessionId {
        let quarter = (at / (15 * MINUTE)).cast_unsigned();
        // The first half of a user's random id is enough to tell users apart.
        let user = user
            .first_chunk()
            .map_or(0, |half| u64::from_be_bytes(*half));
        let key = user ^ mix((quarter << 16) ^ agent as u64);
        SessionId::from_bits(Rng::keyed(self.params.seed, Stream::Session, key).next())
    }
}

impl Team {
    fn new(agents: Range<usize>, all: &[Agent]) -> Self {
        let team = &all[agents.clone()];
        let weight: f64 = team.iter().map(|agent| agent.popularity as f64).sum();
        let work: f64 = team
            .iter()
            .map(|agent| agent.popularity as f64 * agent.median_runtime_seconds)
            .sum();
        Self {
            agents,
            popularity: cumulate(team.iter().map(|agent| agent.popularity)),
            mean_runtime: work / weight,
        }
    }
}
