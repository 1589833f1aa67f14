//! The runs show what the agents and incidents say: counted over 600,000 of them.
#![allow(
    clippy::unwrap_used,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use std::collections::HashMap;
use std::sync::LazyLock;

use workload::{
    ErrorCategory, Incident, IncidentKind, LifecycleState, Params, Run, Status, Workload,
};

const HOUR: i64 = 3_600_000_000;
const WEEK: i64 = 7 * 24 * HOUR;
/// A fair coin misses this many deviations once in 16,000 tries, and the seed is fixed.
const SIGMAS: f64 = 4.0;

static WORKLOAD: LazyLock<Workload> = LazyLock::new(|| {
    Workload::new(Params {
        runs: 600_000,
        ..Params::default()
    })
    .unwrap()
});
static RUNS: LazyLock<Vec<Run<'static>>> = LazyLock::new(|| {
    let chunks = 0..WORKLOAD.chunk_count();
    chunks.flat_map(|chunk| WORKLOAD.runs(chunk)).collect()
});

fn incident_of(run: &Run<'_>) -> Option<&'static Incident> {
    let covers = |incident: &&Incident| incident.covers(run.workspace, run.agent, run.started_at);
    WORKLOAD.incidents().iter().find(covers)
}

fn incident(kind: IncidentKind) -> &'static Incident {
    WORKLOAD
        .incidents()
        .iter()
        .find(|incident| incident.kind == kind)
        .unwrap()
}

/// Finished runs outside incidents, by agent.
static ORDINARY: LazyLock<HashMap<usize, Vec<&'static Run<'static>>>> = LazyLock::new(|| {
    let mut by_agent: HashMap<usize, Vec<&Run<'_>>> = HashMap::new();
    let ordinary = |run: &&Run<'_>| run.status.is_finished() && incident_of(run).is_none();
    for run in RUNS.iter().filter(ordinary) {
        by_agent.entry(run.agent).or_default().push(run);
    }
    by_agent
});

/// Asserts that a share is what it should be, as far as chance allows.
fn assert_share<'r, T: 'r>(
    what: &str,
    items: impl IntoIterator<Item = &'r T>,
    expected: f64,
    is_hit: impl Fn(&T) -> bool,
) {
    let (mut count, mut hits) = (0.0, 0.0);
    for item in items {
        count += 1.0;
        hits += f64::from(u8::from(is_hit(item)));
    }
    assert!(count >= 30.0, "{what}: only {count} runs");
    let sigma = (expected * (1.0 - expected) / count).sqrt();
    let off = (hits / count - expected).abs();
    assert!(
        off <= SIGMAS * sigma + 1.0 / count,
        "{what}: {} is not {expected}",
        hits / count
    );
}

#[test]
fn rates_of_agents() {
    for (&index, runs) in ORDINARY.iter().filter(|(_, runs)| runs.len() >= 100) {
        let agent = &WORKLOAD.agents()[index];
        let check = |what: &str, expected: f64, status: Status| {
            let what = format!("{what} rate of {}", agent.name);
            assert_share(&what, runs, expected, |run| run.status == status);
        };
        check("success", agent.success_rate, Status::Completed);
        check("timeout", agent.timeout_rate, Status::Timeout);
        check("cancel", agent.cancel_rate, Status::Cancelled);
    }
}

#[test]
fn medians_of_agents() {
    for (&index, runs) in &*ORDINARY {
        let agent = &WORKLOAD.agents()[index];
        let completed: Vec<_> = runs
            .iter()
            .filter(|run| run.status == Status::Completed)
            .collect();
        if completed.len() < 100 {
            continue;
        }
        let (runtime, prompt) = (agent.median_runtime_seconds, agent.prompt_tokens);
        assert_share(
            &format!("runtime of {}", agent.name),
            completed.clone(),
            0.5,
            |run| {
                run.runtime_seconds
                    .is_some_and(|seconds| seconds <= runtime)
            },
        );
        let known = completed
            .into_iter()
            .filter(|run| run.tokens_used.is_some());
        assert_share(&format!("prompt of {}", agent.name), known, 0.5, |run| {
            run.prompt_tokens
                .is_some_and(|tokens| tokens as f64 <= prompt)
        });
    }
}

#[test]
fn models_of_agents() {
    for (&index, runs) in ORDINARY.iter().filter(|(_, runs)| runs.len() >= 100) {
        let agent = &WORKLOAD.agents()[index];
        for used in &agent.models {
            let what = format!("{} of {}", used.model.name, agent.name);
            let is_model = |run: &&Run<'_>| run.model_name == used.model.name;
            assert_share(&what, runs, used.share, is_model);
            let with_model: Vec<_> = runs.iter().filter(|run| is_model(run)).collect();
            assert_share(&what, with_model, used.success_rate, |run| {
                run.status == Status::Completed
            });
        }
    }
}

#[test]
fn every_agent_has_runs() {
    for (index, agent) in WORKLOAD.agents().iter().enumerate() {
        assert!(ORDINARY.contains_key(&index), "{} has none", agent.name);
    }
}

#[test]
fn failures_follow_the_categories() {
    let failed: Vec<_> = ORDINARY
        .values()
        .flatten()
        .filter(|run| run.status == Status::Failed)
        .collect();
    let expected = [
        (ErrorCategory::RateLimit, 0.21),
        (ErrorCategory::ModelError, 0.18),
        (ErrorCategory::Network, 0.14),
        (ErrorCategory::Validation, 0.14),
        (ErrorCategory::UserError, 0.10),
        (ErrorCategory::Resource, 0.08),
        (ErrorCategory::Timeout, 0.06),
        (ErrorCategory::Unknown, 0.05),
        (ErrorCategory::Auth, 0.04),
    ];
    for (category, share) in expected {
        assert_share(category.as_str(), failed.iter().copied(), share, |run| {
            run.error
                .as_ref()
                .is_some_and(|error| error.category == category)
        });
    }
}

#[test]
fn passing_failures_are_retried() {
    let retries = RUNS.iter().filter(|run| run.attempt > 1).count() as f64;
    let failures = RUNS.iter().filter(|run| run.status.is_error()).count() as f64;
    assert!(
        (0.3..0.6).contains(&(retries / failures)),
        "{}",
        retries / failures
    );
    let sub_runs = RUNS
        .iter()
        .filter(|run| run.trigger_source.as_str() == "agent")
        .count();
    assert!(sub_runs > 12_000, "{sub_runs}");
}

/// Runs of a workspace that start in the hours of its incident, moved by some weeks.
fn traffic(incident: &Incident, weeks: i64) -> f64 {
    let shift = weeks * WEEK;
    let hours = incident.start_micros + shift..incident.end_micros + shift;
    let is_in =
        |run: &&Run<'_>| run.workspace == incident.workspace && hours.contains(&run.started_at);
    RUNS.iter().filter(is_in).count() as f64
}

/// Traffic of an incident against the same hours of the weeks before and after.
fn relative_traffic(kind: IncidentKind) -> f64 {
    let incident = incident(kind);
    2.0 * traffic(incident, 0) / (traffic(incident, -1) + traffic(incident, 1))
}

#[test]
fn incidents_change_the_traffic() {
    let spike = relative_traffic(IncidentKind::TrafficSpike);
    let drop = relative_traffic(IncidentKind::TrafficDrop);
    let outage = relative_traffic(IncidentKind::Outage);
    assert!((5.0..7.0).contains(&spike), "{spike}");
    assert!((0.07..0.15).contains(&drop), "{drop}");
    assert!((0.3..0.8).contains(&outage), "{outage}");
}

fn finished_in(kind: IncidentKind) -> Vec<&'static Run<'static>> {
    let incident = incident(kind);
    let is_in = |run: &&Run<'_>| {
        run.status.is_finished() && incident.covers(run.workspace, run.agent, run.started_at)
    };
    RUNS.iter().filter(is_in).collect()
}

#[test]
fn a_failure_surge_is_the_fault_of_a_release() {
    let incident = incident(IncidentKind::FailureSurge);
    let agent = &WORKLOAD.agents()[incident.agent.unwrap()];
    let runs = finished_in(IncidentKind::FailureSurge);
    let expected = agent.success_rate * incident.magnitude;
    assert_share("surge", runs.clone(), expected, |run| {
        run.status == Status::Completed
    });
    let blamed = agent
        .versions
        .iter()
        .find(|v| v.released_at == incident.start_micros)
        .unwrap();
    assert!(runs.iter().all(|run| run.agent_version == blamed.name));
    assert!(
        agent
            .versions
            .iter()
            .any(|v| v.released_at == incident.end_micros)
    );
}

#[test]
fn a_latency_incident_slows_its_agent() {
    let incident = incident(IncidentKind::Latency);
    let agent = &WORKLOAD.agents()[incident.agent.unwrap()];
    let runs = finished_in(IncidentKind::Latency);
    let slow = runs.iter().filter(|run| {
        run.runtime_seconds
            .is_some_and(|seconds| seconds > 2.0 * agent.median_runtime_seconds)
    });
    let share = slow.count() as f64 / runs.len() as f64;
    assert!(
        runs.len() > 100 && share > 0.75,
        "{share} of {}",
        runs.len()
    );
}

#[test]
fn an_outage_fails_almost_everything() {
    let runs = finished_in(IncidentKind::Outage);
    let completed = runs
        .iter()
        .filter(|run| run.status == Status::Completed)
        .count();
    assert!(
        runs.len() > 50 && completed * 20 < runs.len(),
        "{completed} of {}",
        runs.len()
    );
}

#[test]
fn incidents_begin_in_working_hours_at_their_part_of_the_window() {
    let kinds: Vec<&str> = WORKLOAD
        .incidents()
        .iter()
        .map(|i| i.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "failure_surge",
            "latency",
            "traffic_spike",
            "traffic_drop",
            "outage"
        ]
    );
    let hours: Vec<i64> = WORKLOAD
        .incidents()
        .iter()
        .map(|incident| (incident.start_micros - WORKLOAD.start_micros()) / HOUR)
        .collect();
    // From 2025-10-03 00:00 UTC to Monday 10-27 10:00 in Berlin, Monday 11-10 10:00 in New York,
    // Monday 11-24 10:00 in Tokyo, Friday 12-05 10:00 in Berlin, Thursday 12-18 10:00 in New York.
    assert_eq!(hours, [585, 927, 1249, 1521, 1839]);
}

fn local(run: &Run<'_>) -> i64 {
    run.started_at + WORKLOAD.workspaces()[run.workspace].utc_offset_minutes * 60_000_000
}

#[test]
fn the_week_has_a_weekend_and_the_day_a_night() {
    for workspace in 0..WORKLOAD.workspaces().len() {
        let (mut days, mut hours) = ([0_u32; 7], [0_u32; 24]);
        for run in RUNS.iter().filter(|run| run.workspace == workspace) {
            let hour = local(run) / HOUR;
            hours[(hour % 24) as usize] += 1;
            days[((hour / 24 + 3) % 7) as usize] += 1;
        }
        let working = f64::from(days[..5].iter().sum::<u32>()) / 5.0;
        let weekend = f64::from(days[5] + days[6]) / 2.0;
        assert!((0.30..0.40).contains(&(weekend / working)), "{days:?}");
        assert!(hours[10] > 8 * hours[3], "{hours:?}");
    }
}

#[test]
fn traffic_grows() {
    let third = (WORKLOAD.end_micros() - WORKLOAD.start_micros()) / 3;
    let count = |number: i64| {
        let start = WORKLOAD.start_micros() + number * third;
        RUNS.iter()
            .filter(|run| (start..start + third).contains(&run.started_at))
            .count() as f64
    };
    let growth = count(2) / count(0);
    assert!((1.35..1.7).contains(&growth), "{growth}");
}

#[test]
fn some_agents_and_workspaces_are_more_popular() {
    let mut workspaces = [0; 3];
    RUNS.iter().for_each(|run| workspaces[run.workspace] += 1);
    assert!(workspaces.is_sorted_by(|a, b| a > b), "{workspaces:?}");
    let runs_of = |agent: usize| ORDINARY[&agent].len() as f64;
    assert!(
        runs_of(0) > 1.5 * runs_of(1),
        "{} {}",
        runs_of(0),
        runs_of(1)
    );
}

#[test]
fn ratings_follow_success_and_speed() {
    let mean = |is_in: &dyn Fn(&Run<'_>) -> bool| {
        let ratings = RUNS
            .iter()
            .filter(|run| is_in(run))
            .filter_map(Run::user_rating);
        let (count, sum) = ratings.fold((0, 0), |(n, sum), r| (n + 1, sum + i32::from(r)));
        f64::from(sum) / f64::from(count)
    };
    let speed = |run: &Run<'_>| {
        let median = WORKLOAD.agents()[run.agent].median_runtime_seconds;
        run.runtime_seconds.unwrap_or(median) / median
    };
    let is_good = |run: &Run<'_>| run.status == Status::Completed;
    let failed = mean(&|run| run.status == Status::Failed);
    let quick = mean(&|run| is_good(run) && speed(run) < 0.5);
    let slow = mean(&|run| is_good(run) && speed(run) > 3.0);
    assert!(
        failed + 1.0 < slow && slow + 0.5 < quick,
        "{failed} {slow} {quick}"
    );
    let spoken = RUNS.iter().filter(|run| run.feedback.is_some()).count();
    assert!((30_000..72_000).contains(&spoken), "{spoken}");
}

#[test]
fn lifecycle_states_have_their_shares() {
    let params = Params {
        agents: 10_000,
        workspaces: 1,
        ..Params::default()
    };
    let workload = Workload::new(params).unwrap();
    let later = &workload.agents()[2..];
    let expected = [
        (LifecycleState::Production, 0.56),
        (LifecycleState::Staging, 0.10),
        (LifecycleState::Testing, 0.10),
        (LifecycleState::Draft, 0.06),
        (LifecycleState::Deprecated, 0.11),
        (LifecycleState::Archived, 0.07),
    ];
    for (state, share) in expected {
        assert_share(state.as_str(), later, share, |agent| agent.state == state);
    }
}
