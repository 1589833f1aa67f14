//! The incidents that every workload contains: the truth that detectors must find.

use std::ops::Range;

use crate::catalog::agent_name;
use crate::kinds::{ErrorCategory, IncidentKind};
use crate::params::Params;
use crate::time::{HOUR, hour_of_day, is_weekend};
use crate::workspace::Workspace;

/// Something out of the ordinary, on whole hours known from the parameters alone.
///
/// | kind | begins at this part of the window | hours | workspace | magnitude |
/// |---|---|---|---|---|
/// | `failure_surge` | 0.25 | 6 | 0, one agent | 0.45: factor on the chance of success |
/// | `latency` | 0.40 | 8 | 1, one agent | 5: factor on runtimes |
/// | `traffic_spike` | 0.55 | 3 | 2 | 6: factor on the number of runs; queues are 12 times as long |
/// | `traffic_drop` | 0.70 | 12 | 3 | 0.1: factor on the number of runs |
/// | `outage` | 0.85 | 2 | 4 | 0.02: factor on the chance of success; traffic falls to 0.4 |
///
/// The start is rounded down to the hour. In windows of 28 days or more it then moves forward to
/// the next 10:00, Monday to Friday, in the workspace's standard time (a half-hour zone begins at
/// the whole UTC hour whose local time is 10:xx). No incident is longer than a sixteenth of the
/// window (at least one hour), so they never overlap. Workspaces count modulo their number, k-th
/// incident in workspace k mod W; the agent is the one of rank k div W in it (or the last).
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// What happens.
    pub kind: IncidentKind,
    /// Index of the workspace it happens in.
    pub workspace: usize,
    /// Index of the only agent it concerns; none: all agents of the workspace.
    pub agent: Option<usize>,
    /// Start (inclusive) in microseconds since 1970.
    pub start_micros: i64,
    /// End (exclusive) in microseconds since 1970.
    pub end_micros: i64,
    /// A factor; on what, depends on the kind.
    pub magnitude: f64,
    /// One sentence for people.
    pub description: String,
}

struct Rule {
    kind: IncidentKind,
    at_percent: i64,
    hours: i64,
    magnitude: f64,
    one_agent: bool,
}

const RULES: [Rule; 5] = [
    rule(IncidentKind::FailureSurge, 25, 6, 0.45, true),
    rule(IncidentKind::Latency, 40, 8, 5.0, true),
    rule(IncidentKind::TrafficSpike, 55, 3, 6.0, false),
    rule(IncidentKind::TrafficDrop, 70, 12, 0.1, false),
    rule(IncidentKind::Outage, 85, 2, 0.02, false),
];

const fn rule(
    kind: IncidentKind,
    at_percent: i64,
    hours: i64,
    magnitude: f64,
    one_agent: bool,
) -> Rule {
    Rule {
        kind,
        at_percent,
        hours,
        magnitude,
        one_agent,
    }
}

/// Part of a workspace's traffic that still arrives in an outage.
const OUTAGE_TRAFFIC: f64 = 0.4;
/// What a spike makes of the time in the queue.
const SPIKE_QUEUE: f64 = 12.0;
/// Windows of at least this many days have room to move incidents into working hours.
const ALIGNED_DAYS: u32 = 28;

/// The incidents of a workload, in time order.
pub(crate) fn schedule(
    params: &Params,
    workspaces: &[Workspace],
    agents_of: &[Range<usize>],
) -> Vec<Incident> {
    let place = |(k, rule): (usize, &Rule)| {
        let workspace = k % workspaces.len();
        let agents = &agents_of[workspace];
        let agent = (agents.start + k / workspaces.len()).min(agents.end - 1);
        let hours = i64::from(params.hours());
        let start_micros = begin(params, rule, workspaces[workspace].utc_offset_minutes);
        let agent = rule.one_agent.then_some(agent);
        Incident {
            kind: rule.kind,
            workspace,
            agent,
            start_micros,
            end_micros: start_micros + rule.hours.min((hours / 16).max(1)) * HOUR,
            magnitude: rule.magnitude,
            description: describe(rule.kind, &workspaces[workspace].name, agent),
        }
    };
    RULES.iter().enumerate().map(place).collect()
}

fn begin(params: &Params, rule: &Rule, utc_offset_minutes: i64) -> i64 {
    let hour = i64::from(params.hours()) * rule.at_percent / 100;
    let start = params.start_micros() + hour * HOUR;
    if params.days < ALIGNED_DAYS {
        return start;
    }
    let offset = utc_offset_minutes * crate::time::MINUTE;
    let is_working = |start: &i64| hour_of_day(start + offset) == 10 && !is_weekend(start + offset);
    (0..96)
        .map(|shift| start + shift * HOUR)
        .find(is_working)
        .unwrap_or(start)
}

fn describe(kind: IncidentKind, workspace: &str, agent: Option<usize>) -> String {
    let who = agent.map_or_else(|| workspace.to_owned(), agent_name);
    match kind {
        IncidentKind::FailureSurge => {
            format!("A bad release of {who} fails more than half of its runs")
        }
        IncidentKind::Latency => {
            format!("A slow model provider makes {who} take five times as long")
        }
        IncidentKind::TrafficSpike => format!("A campaign brings {who} six times its usual runs"),
        IncidentKind::TrafficDrop => {
            format!("A broken integration cuts nine tenths of the runs of {who}")
        }
        IncidentKind::Outage => format!("The network of {who} is down: almost every run fails"),
    }
}

/// What incidents do to one run.
#[derive(Clone, Copy)]
pub(crate) struct Effect {
    pub success_factor: f64,
    pub runtime_factor: f64,
    pub queue_factor: f64,
    pub cause: Option<ErrorCategory>,
}

impl Effect {
    const NONE: Self = Self {
        success_factor: 1.0,
        runtime_factor: 1.0,
        queue_factor: 1.0,
        cause: None,
    };
}

impl Incident {
    /// Whether a run of this agent that starts at this time falls under the incident.
    pub fn covers(&self, workspace: usize, agent: usize, started_at: i64) -> bool {
        (self.start_micros..self.end_micros).contains(&started_at)
            && self.workspace == workspace
            && self.agent.is_none_or(|only| only == agent)
    }

    /// Factor on the traffic of the whole workspace.
    pub(crate) fn traffic_factor(&self) -> f64 {
        match self.kind {
            IncidentKind::TrafficSpike | IncidentKind::TrafficDrop => self.magnitude,
            IncidentKind::Outage => OUTAGE_TRAFFIC,
            IncidentKind::FailureSurge | IncidentKind::Latency => 1.0,
        }
    }

    fn effect(&self) -> Effect {
        let cause = match self.kind {
            IncidentKind::FailureSurge => Some(ErrorCategory::ModelError),
            IncidentKind::Outage => Some(ErrorCategory::Network),
            _ => None,
        };
        Effect {
            success_factor: if cause.is_some() { self.magnitude } else { 1.0 },
            runtime_factor: if self.kind == IncidentKind::Latency {
                self.magnitude
            } else {
                1.0
            },
            queue_factor: if self.kind == IncidentKind::TrafficSpike {
                SPIKE_QUEUE
            } else {
                1.0
            },
            cause,
        }
    }
}

/// What the incidents do to a run; they never overlap, so one at most counts.
pub(crate) fn effect(incidents: &[Incident], workspace: usize, agent: usize, at: i64) -> Effect {
    let covering = incidents
        .iter()
        .find(|incident| incident.covers(workspace, agent, at));
    covering.map_or(Effect::NONE, Incident::effect)
}
