//! What holds for every run of every workload.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use workload::{
    ErrorCategory, Params, RUNS_PER_CHUNK, Run, Sentiment, Status, TriggerSource, Uuid, Workload,
};

fn all_runs(workload: &Workload) -> impl Iterator<Item = Run<'_>> {
    (0..workload.chunk_count()).flat_map(|chunk| workload.runs(chunk))
}

fn workload(params: Params) -> Workload {
    Workload::new(params).unwrap()
}

prop_compose! {
    fn any_params()(
        seed: u64,
        runs in 1..4_000_u64,
        workspaces in 1..12_u32,
        more_agents in 0..40_u32,
        users_per_workspace in 1..200_u32,
        days in prop_oneof![8 => 1..5_u32, 8 => 5..120_u32, 1 => 3_000..=3_650_u32],
        end_micros in Params::END_MICROS,
    ) -> Params {
        let agents = workspaces + more_agents;
        Params { seed, runs, workspaces, agents, users_per_workspace, days, end_micros }
    }
}

fn check_times(workload: &Workload, run: &Run<'_>) {
    let window = workload.start_micros()..workload.end_micros();
    assert!(window.contains(&run.started_at), "{run:?}");
    let agent = &workload.agents()[run.agent];
    assert!(agent.is_active(run.started_at), "{run:?}");
    assert_eq!(run.completed_at.is_some(), run.status.is_finished());
    assert_eq!(run.runtime_seconds.is_some(), run.status.is_finished());
    assert_eq!(
        run.queue_wait_micros.is_some(),
        run.status != Status::Queued
    );
    assert!(run.queued_at() <= run.started_at);
    if let (Some(completed_at), Some(seconds)) = (run.completed_at, run.runtime_seconds) {
        assert!(completed_at < window.end && seconds > 0.0);
        let micros = (seconds * 1e6).round() as i64;
        assert_eq!(completed_at, run.started_at + micros);
        assert!(seconds <= agent.timeout_seconds);
        assert!(run.status != Status::Timeout || seconds >= agent.timeout_seconds);
    }
}

fn check_amounts(run: &Run<'_>) {
    let parts = run.prompt_tokens.zip(run.completion_tokens);
    assert_eq!(
        run.tokens_used,
        parts.map(|(prompt, completion)| prompt + completion)
    );
    assert_eq!(run.prompt_tokens.is_some(), run.completion_tokens.is_some());
    assert!(parts.is_none_or(|(prompt, completion)| prompt >= 0 && completion >= 0));
    assert!(run.tokens_used.is_none() || run.status.is_finished());
    assert_eq!(run.credits_micros > 0, run.status.is_finished());
    assert!((1..=9).contains(&run.priority) && run.concurrent_runs >= 1);
}

fn check_identity(workload: &Workload, run: &Run<'_>) {
    let agent = &workload.agents()[run.agent];
    assert_eq!(agent.workspace, run.workspace);
    assert_eq!(
        (agent.id, workload.workspaces()[run.workspace].id),
        (run.agent_id, run.workspace_id)
    );
    assert!(
        agent
            .models
            .iter()
            .any(|used| used.model.name == run.model_name)
    );
    assert_eq!(agent.version_at(run.started_at), run.agent_version);
    assert_eq!(run.run_id[6] >> 4, 7);
    assert!((1..=3).contains(&run.attempt) && (run.attempt == 1 || run.parent_run_id.is_some()));
}

fn check_error_and_feedback(workload: &Workload, run: &Run<'_>) {
    assert_eq!(run.error.is_some(), run.status.is_error());
    if let Some(error) = &run.error {
        assert!(!error.message.is_empty() && !error.message.contains('{'));
        assert_eq!(error.auto_recovered, error.recovery_time_seconds.is_some());
        assert!(error.affected_users >= 1 && error.recovery_attempts >= 0);
        let is_timeout = run.status == Status::Timeout;
        assert!(!is_timeout || error.category == ErrorCategory::Timeout);
    }
    if let Some(feedback) = &run.feedback {
        assert!((1..=5).contains(&feedback.rating));
        assert!(
            run.completed_at
                .is_some_and(|end| end < feedback.created_at)
        );
        assert!(feedback.created_at < workload.end_micros());
        let sign = match feedback.sentiment {
            Sentiment::Positive => 0.3..=1.0,
            Sentiment::Neutral => 0.0..=0.0,
            Sentiment::Negative => -1.0..=-0.3,
        };
        assert!(sign.contains(&feedback.sentiment_score), "{feedback:?}");
    }
}

/// What a later run needs to know of an earlier one.
struct Parent {
    agent: usize,
    is_error: bool,
    attempt: u8,
    started_at: i64,
    completed_at: Option<i64>,
    session: String,
    user: Uuid,
}

fn check_family(run: &Run<'_>, earlier: &HashMap<Uuid, Parent>, retried: &mut HashSet<Uuid>) {
    let Some(id) = run.parent_run_id else {
        assert_ne!(run.trigger_source, TriggerSource::Agent);
        return;
    };
    let parent = &earlier[&id];
    assert_eq!(
        (run.session_id.as_str(), run.user_id),
        (parent.session.as_str(), parent.user)
    );
    if parent.is_error {
        assert_eq!((run.agent, run.attempt), (parent.agent, parent.attempt + 1));
        assert!(parent.completed_at.is_some_and(|end| end < run.started_at));
        assert!(retried.insert(id), "retried twice");
    } else {
        assert_eq!((run.trigger_source, run.attempt), (TriggerSource::Agent, 1));
        assert!(parent.started_at <= run.started_at);
        assert!(parent.completed_at.is_some_and(|end| run.started_at < end));
    }
}

fn check_chunk(workload: &Workload, chunk: u64) -> u64 {
    let (mut count, mut last) = (0, i64::MIN);
    let (mut earlier, mut retried) = (HashMap::new(), HashSet::new());
    for run in workload.runs(chunk) {
        assert_eq!(run.index, chunk * RUNS_PER_CHUNK + count);
        assert!(last <= run.started_at, "time runs backwards at {run:?}");
        (count, last) = (count + 1, run.started_at);
        check_times(workload, &run);
        check_amounts(&run);
        check_identity(workload, &run);
        check_error_and_feedback(workload, &run);
        check_family(&run, &earlier, &mut retried);
        let parent = Parent {
            agent: run.agent,
            is_error: run.error.is_some(),
            attempt: run.attempt,
            started_at: run.started_at,
            completed_at: run.completed_at,
            session: run.session_id.to_string(),
            user: run.user_id,
        };
        assert!(
            earlier.insert(run.run_id, parent).is_none(),
            "run id seen twice"
        );
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn every_run_is_consistent(params in any_params()) {
        let runs = params.runs;
        let workload = workload(params);
        let count: u64 = (0..workload.chunk_count()).map(|chunk| check_chunk(&workload, chunk)).sum();
        prop_assert_eq!(count, runs);
    }

    #[test]
    fn equal_parameters_give_equal_runs(params in any_params()) {
        let (one, two) = (workload(params.clone()), workload(params));
        prop_assert!(all_runs(&one).eq(all_runs(&two)));
    }

    #[test]
    fn incidents_lie_in_the_window_and_apart(params in any_params()) {
        let workload = workload(params);
        let mut last_end = workload.start_micros();
        for incident in workload.incidents() {
            prop_assert!(last_end <= incident.start_micros);
            prop_assert!(incident.start_micros < incident.end_micros);
            last_end = incident.end_micros;
        }
        prop_assert!(last_end <= workload.end_micros());
        prop_assert_eq!(workload.incidents().len(), 5);
    }

    #[test]
    fn agents_are_consistent(params in any_params()) {
        let workload = workload(params);
        for agent in workload.agents() {
            prop_assert!((0.0..=1.0).contains(&agent.success_rate));
            prop_assert!((agent.models.iter().map(|used| used.share).sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert_eq!(agent.versions[0].released_at, agent.created_at);
            prop_assert!(agent.versions.is_sorted_by(|a, b| a.released_at < b.released_at));
            prop_assert!(agent.retired_at.is_none_or(|retired| agent.created_at < retired));
            prop_assert!(agent.created_at < workload.end_micros());
        }
        let ids: HashSet<Uuid> = workload.agents().iter().map(|agent| agent.id).collect();
        prop_assert_eq!(ids.len(), workload.agents().len());
    }
}

#[test]
fn the_number_of_runs_is_exact_at_every_scale() {
    for runs in [1, 2, 999, 1_000, 65_535, 65_536, 65_537, 300_000] {
        let workload = workload(Params {
            runs,
            ..Params::default()
        });
        assert_eq!(all_runs(&workload).count() as u64, runs);
    }
    let huge = workload(Params {
        runs: 100_000_000,
        ..Params::default()
    });
    let lengths = (0..huge.chunk_count()).map(|chunk| huge.runs(chunk).len() as u64);
    assert_eq!(lengths.sum::<u64>(), 100_000_000);
}

#[test]
fn large_chunks_are_consistent_too() {
    let huge = workload(Params {
        runs: 100_000_000,
        ..Params::default()
    });
    for chunk in [700, huge.chunk_count() - 1] {
        assert_eq!(check_chunk(&huge, chunk), huge.runs(chunk).len() as u64);
    }
}

#[test]
fn chunks_are_independent() {
    let workload = workload(Params {
        runs: 250_000,
        ..Params::default()
    });
    let full: Vec<Run<'_>> = all_runs(&workload).collect();
    for chunk in (0..workload.chunk_count()).rev() {
        let start = (chunk * RUNS_PER_CHUNK) as usize;
        let alone: Vec<Run<'_>> = workload.runs(chunk).collect();
        assert!(alone == full[start..start + alone.len()]);
    }
    assert!(
        full.is_sorted_by_key(|run| run.started_at),
        "chunks follow each other in time"
    );
    assert_eq!(workload.runs(workload.chunk_count()).count(), 0);
    assert_eq!(workload.runs(u64::MAX).count(), 0);
}

#[test]
fn seeds_matter() {
    let ids = |seed| {
        let workload = workload(Params {
            seed,
            runs: 1_000,
            ..Params::default()
        });
        all_runs(&workload)
            .map(|run| run.run_id)
            .collect::<HashSet<Uuid>>()
    };
    assert!(ids(1).is_disjoint(&ids(2)));
}

#[test]
fn the_last_runs_are_live() {
    let workload = workload(Params {
        runs: 1_000,
        ..Params::default()
    });
    let statuses: Vec<&str> = all_runs(&workload)
        .skip(996)
        .map(|run| run.status.as_str())
        .collect();
    assert_eq!(statuses, ["running", "running", "queued", "queued"]);
}

#[test]
fn every_status_category_and_trigger_occurs() {
    let workload = workload(Params::default());
    let (mut statuses, mut triggers) = (HashSet::new(), HashSet::new());
    let (mut categories, mut topics) = (HashSet::new(), HashSet::new());
    for run in all_runs(&workload) {
        statuses.insert(run.status);
        triggers.insert(run.trigger_source);
        categories.extend(run.error.map(|error| error.category));
        topics.extend(run.feedback.map(|feedback| feedback.category));
    }
    assert_eq!((statuses.len(), triggers.len()), (6, 5));
    assert_eq!((categories.len(), topics.len()), (9, 7));
}

#[test]
fn threads_may_share_a_workload() {
    let workload = workload(Params {
        runs: 200_000,
        ..Params::default()
    });
    let count = &|chunk: u64| workload.runs(chunk).count() as u64;
    let counts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workload.chunk_count())
            .map(|chunk| scope.spawn(move || count(chunk)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum::<u64>()
    });
    assert_eq!(counts, 200_000);
}
