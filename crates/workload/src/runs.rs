//! The runs of one chunk, in time order.
//!
//! Every index of the workload has a turn: a time, in rising order. A run that falls due before a
//! turn (a retry, a sub-run) takes that turn in place of a new run, at its own time. So the total
//! is exact, time order needs no sort, and memory holds only what waits. What waits at the end of a chunk
//! is dropped: that is the price of chunks that know nothing of each other.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::iter::FusedIterator;

use crate::agent::Agent;
use crate::failure;
use crate::incidents::{self, Effect};
use crate::kinds::{ErrorCategory, Status, TriggerSource};
use crate::numbers::{index as position, nearest, whole};
use crate::opinion::{Impression, feedback};
use crate::outcome::{self, Outcome, Usage};
use crate::random::{Rng, Stream};
use crate::run::{Run, RunError, SessionId, Uuid};
use crate::time::SECOND;
use crate::traffic::Hour;
use crate::workload::{RUNS_PER_CHUNK, Workload};

/// Runs that fail for a passing reason are retried this often, up to [`MOST_ATTEMPTS`].
const RETRY_SHARE: f64 = 0.6;
const MOST_ATTEMPTS: u8 = 3;
/// Runs of orchestrators that start sub-runs, up to [`MOST_SUB_RUNS`] each.
const DELEGATING_SHARE: f64 = 0.7;
const MOST_SUB_RUNS: u64 = 3;

/// Seconds before the end of the window at which the last runs of the workload start at the
/// earliest, and their state: so that even a small workload shows some live runs.
const LIVE: [(i64, Status); 4] = [
    (8, Status::Queued),
    (25, Status::Queued),
    (50, Status::Running),
    (75, Status::Running),
];
/// Workloads below this size have no such runs.
const LIVE_FROM: u64 = 1_000;
/// Of the runs in these last seconds half are still queued.
const QUEUE_SECONDS: i64 = 30;

impl Workload {
    /// The runs of a chunk in time order, none beyond the last chunk. A chunk begins no earlier
    /// than the one before it ends, so that all chunks in turn are in time order too.
    pub fn runs(&self, chunk: u64) -> Runs<'_> {
        let runs = self.params().runs;
        let place = |chunk: u64| chunk.saturating_mul(RUNS_PER_CHUNK).min(runs);
        Runs::new(self, place(chunk), place(chunk.saturating_add(1)))
    }
}

/// Iterator over the runs of a chunk: see [`Workload::runs`].
pub struct Runs<'w> {
    workload: &'w Workload,
    next: u64,
    end: u64,
    hour: Option<Hour>,
    due: BinaryHeap<Reverse<Due>>,
}

/// Where a run comes from: everything that is settled before it starts.
#[derive(Clone, Copy)]
struct Origin {
    started_at: i64,
    workspace: usize,
    agent: usize,
    user_id: Uuid,
    session_id: SessionId,
    trigger: TriggerSource,
    parent: Option<Uuid>,
    attempt: u8,
}

/// A retry or sub-run that waits for its time, `origin.started_at`.
struct Due {
    origin: Origin,
    /// Index of the run it follows and its number among the followers: settles ties.
    follows: (u64, u64),
}

impl Due {
    fn key(&self) -> (i64, (u64, u64)) {
        (self.origin.started_at, self.follows)
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}

impl<'w> Iterator for Runs<'w> {
    type Item = Run<'w>;

    fn next(&mut self) -> Option<Run<'w>> {
        if self.next >= self.end {
            return None;
        }
        let index = self.next;
        self.next += 1;
        let mut rng = Rng::keyed(self.workload.params().seed, Stream::Run, index);
        self.enter_hour_of(index);
        let hour = self.hour.as_ref()?;
        let origin = originate(self.workload, hour, &mut self.due, index, &mut rng);
        let rate = hour.rate(origin.workspace);
        Some(self.run(index, &origin, rate, &mut rng))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = position(self.end - self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Runs<'_> {}
impl FusedIterator for Runs<'_> {}

impl<'w> Runs<'w> {
    fn new(workload: &'w Workload, first: u64, end: u64) -> Self {
        Self {
            workload,
            next: first,
            end,
            hour: None,
            due: BinaryHeap::new(),
        }
    }

    fn enter_hour_of(&mut self, index: u64) {
        if self.hour.as_ref().is_some_and(|hour| hour.holds(index)) {
            return;
        }
        let hour = self.workload.traffic.hour_of(index);
        self.hour = Some(self.workload.hour(hour));
    }

    fn run(&mut self, index: u64, origin: &Origin, rate: f64, rng: &mut Rng) -> Run<'w> {
        let workload = self.workload;
        let agent = &workload.agents()[origin.agent];
        let used = &agent.models[rng.weighted(&agent.model_shares)];
        let effect = workload.effect(origin.workspace, origin.agent, origin.started_at);
        let outcome = outcome::draw(agent, used, effect, rng);
        let status = status_at_end(workload, index, origin.started_at, &outcome, rng);
        let is_finished = status.is_finished();
        let completed_at = is_finished.then(|| origin.started_at + outcome.runtime_micros);
        let usage = if is_finished {
            outcome.usage
        } else {
            Usage::default()
        };
        let priority = priority(origin.trigger, rng);
        let wait = queue_wait(priority, effect, rng);
        let run = Run {
            index,
            run_id: rng.uuid_v7(origin.started_at),
            workspace: origin.workspace,
            workspace_id: workload.workspaces()[origin.workspace].id,
            agent: origin.agent,
            agent_id: agent.id,
            agent_version: agent.version_at(origin.started_at),
            user_id: origin.user_id,
            session_id: origin.session_id,
            parent_run_id: origin.parent,
            attempt: origin.attempt,
            status,
            trigger_source: origin.trigger,
            priority,
            started_at: origin.started_at,
            completed_at,
            runtime_seconds: is_finished.then(|| outcome.runtime_micros as f64 / SECOND as f64),
            queue_wait_micros: (status != Status::Queued).then_some(wait),
            concurrent_runs: concurrency(rate * workload.mean_runtime(origin.workspace), rng),
            prompt_tokens: usage.tokens.map(|(prompt, _)| prompt),
            completion_tokens: usage.tokens.map(|(_, completion)| completion),
            tokens_used: usage.tokens.map(|(prompt, completion)| prompt + completion),
            model_name: used.model.name,
            model_provider: used.model.provider,
            credits_micros: usage.credits_micros,
            error: error(status, effect, rng),
            feedback: completed_at.and_then(|completed_at| {
                let impression = Impression {
                    trigger: origin.trigger,
                    completed_at,
                    is_success: status == Status::Completed,
                    slowness: outcome.slowness,
                };
                feedback(&impression, workload.end_micros(), rng)
            }),
        };
        self.follow_up(&run, agent, origin, rng);
        run
    }

    fn follow_up(&mut self, run: &Run<'_>, agent: &Agent, origin: &Origin, rng: &mut Rng) {
        let Some(completed_at) = run.completed_at else {
            return;
        };
        if let Some(error) = &run.error {
            if run.attempt < MOST_ATTEMPTS
                && failure::is_retryable(error.category)
                && rng.chance(RETRY_SHARE)
            {
                self.retry(run, completed_at, agent, origin, rng);
            }
        } else if agent.is_orchestrator() && rng.chance(DELEGATING_SHARE) {
            for number in 0..=rng.below(MOST_SUB_RUNS) {
                self.delegate(run, completed_at, number, origin, rng);
            }
        }
    }

    /// The same again, after a while.
    fn retry(
        &mut self,
        run: &Run<'_>,
        completed_at: i64,
        agent: &Agent,
        origin: &Origin,
        rng: &mut Rng,
    ) {
        let pause = nearest((2.0 + rng.exponential(20.0)) * SECOND as f64);
        let started_at = completed_at + pause;
        if agent.is_active(started_at) {
            let origin = Origin {
                started_at,
                parent: Some(run.run_id),
                attempt: origin.attempt + 1,
                ..*origin
            };
            self.due.push(Reverse(Due {
                origin,
                follows: (run.index, 0),
            }));
        }
    }

    /// Work for another agent of the workspace while this run is under way.
    fn delegate(
        &mut self,
        run: &Run<'_>,
        completed_at: i64,
        number: u64,
        origin: &Origin,
        rng: &mut Rng,
    ) {
        let runtime = (completed_at - run.started_at) as f64;
        let started_at = run.started_at + nearest(runtime * rng.range(0.05, 0.6));
        let agent = self.workload.pick_agent(origin.workspace, started_at, rng);
        if self.workload.agents()[agent].is_orchestrator() {
            return;
        }
        let origin = Origin {
            started_at,
            agent,
            trigger: TriggerSource::Agent,
            parent: Some(run.run_id),
            attempt: 1,
            ..*origin
        };
        self.due.push(Reverse(Due {
            origin,
            follows: (run.index, number),
        }));
    }
}

/// What takes this turn: the run that is due, or else a new one.
fn originate(
    workload: &Workload,
    hour: &Hour,
    due: &mut BinaryHeap<Reverse<Due>>,
    index: u64,
    rng: &mut Rng,
) -> Origin {
    let turn = hour.time_of(index, rng);
    if let Some((seconds, _)) = live(workload, index) {
        let started_at = turn.max(workload.end_micros() - seconds * SECOND);
        return fresh(workload, hour, started_at, rng);
    }
    let is_due = due
        .peek()
        .is_some_and(|Reverse(first)| first.origin.started_at <= turn);
    let waiting = if is_due { due.pop() } else { None };
    waiting.map_or_else(
        || fresh(workload, hour, turn, rng),
        |Reverse(first)| first.origin,
    )
}

fn fresh(workload: &Workload, hour: &Hour, started_at: i64, rng: &mut Rng) -> Origin {
    const TRIGGERS: [TriggerSource; 4] = [
        TriggerSource::User,
        TriggerSource::Api,
        TriggerSource::Schedule,
        TriggerSource::Webhook,
    ];
    let workspace = hour.pick_workspace(rng);
    let agent = workload.pick_agent(workspace, started_at, rng);
    let trigger = TRIGGERS[rng.weighted(&workload.agents()[agent].triggers)];
    let user_id = match trigger {
        TriggerSource::Schedule | TriggerSource::Webhook => workload.agents()[agent].owner_id,
        _ => workload.user_id(
            workspace,
            some_user(workload.params().users_per_workspace, rng),
        ),
    };
    Origin {
        started_at,
        workspace,
        agent,
        user_id,
        session_id: workload.session_id(user_id, agent, started_at),
        trigger,
        parent: None,
        attempt: 1,
    }
}

/// Few users do most of the work: half of it falls to a quarter of them.
fn some_user(users: u32, rng: &mut Rng) -> u64 {
    let place = rng.unit();
    whole(place * place * f64::from(users)).min(u64::from(users) - 1)
}

/// The place of the last few runs of a workload that is large enough.
fn live(workload: &Workload, index: u64) -> Option<(i64, Status)> {
    let runs = workload.params().runs;
    LIVE.get(position(runs - 1 - index))
        .copied()
        .filter(|_| runs >= LIVE_FROM)
}

/// The state that an observer sees when the window closes.
fn status_at_end(
    workload: &Workload,
    index: u64,
    started_at: i64,
    outcome: &Outcome,
    rng: &mut Rng,
) -> Status {
    let end = workload.end_micros();
    if let Some((_, status)) = live(workload, index) {
        status
    } else if started_at >= end - QUEUE_SECONDS * SECOND && rng.chance(0.5) {
        Status::Queued
    } else if started_at + outcome.runtime_micros >= end {
        Status::Running
    } else {
        outcome.status
    }
}

fn error(status: Status, effect: Effect, rng: &mut Rng) -> Option<RunError> {
    match status {
        Status::Timeout => Some(failure::error(ErrorCategory::Timeout, true, rng)),
        Status::Failed => {
            let category = failure::category(effect.cause, rng);
            Some(failure::error(category, false, rng))
        }
        _ => None,
    }
}

fn priority(trigger: TriggerSource, rng: &mut Rng) -> i16 {
    let usual = match trigger {
        TriggerSource::User => 7,
        TriggerSource::Api | TriggerSource::Agent => 6,
        TriggerSource::Webhook => 5,
        TriggerSource::Schedule => 3,
    };
    if rng.chance(0.04) { 9 } else { usual }
}

/// Low priorities wait longer, everybody does in a spike.
fn queue_wait(priority: i16, effect: Effect, rng: &mut Rng) -> i64 {
    let mean = 0.25 * f64::from(10 - priority) * effect.queue_factor;
    nearest(rng.exponential(mean) * SECOND as f64)
}

/// Little's law gives the others that are under way; chance moves them by two fifths.
fn concurrency(others: f64, rng: &mut Rng) -> i32 {
    1 + i32::try_from(whole(others * rng.range(0.6, 1.4))).unwrap_or(i32::MAX - 1)
}

impl Workload {
    fn effect(&self, workspace: usize, agent: usize, at: i64) -> Effect {
        incidents::effect(self.incidents(), workspace, agent, at)
    }
}
