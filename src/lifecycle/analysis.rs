//! Survival, comparison of versions, health, cycles of dependencies: the crate's answers as rows.

use std::collections::HashMap;

use lifecycle::compare::{Sample, means, shares};
use lifecycle::graph::find_cycle;
use lifecycle::health::{Facts, Health};
use lifecycle::survival;
use pgrx::prelude::*;

use super::or_raise;
use crate::errors::raise;
use crate::query::read_rows;

/// Durations with whether they ended; pairs of which one is NULL are left out.
fn observations(
    durations: Vec<Option<f64>>,
    observed: Vec<Option<bool>>,
) -> Vec<Option<(f64, bool)>> {
    if durations.len() != observed.len() {
        or_raise::<()>(Err(lifecycle::Error::Lengths));
    }
    durations
        .into_iter()
        .zip(observed)
        .map(|(duration, observed)| Some((duration?, observed?)))
        .collect()
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn kaplan_meier(
    durations: Vec<Option<f64>>,
    observed: Vec<Option<bool>>,
    confidence: f64,
) -> TableIterator<
    'static,
    (
        name!(time, f64),
        name!(at_risk, i64),
        name!(events, i64),
        name!(censored, i64),
        name!(survival, f64),
        name!(std_err, Option<f64>),
        name!(ci_low, f64),
        name!(ci_high, f64),
    ),
> {
    let known: Vec<(f64, bool)> = observations(durations, observed)
        .into_iter()
        .flatten()
        .collect();
    let steps = or_raise(survival::kaplan_meier(&known, confidence));
    TableIterator::new(steps.into_iter().map(|step| {
        (
            step.time,
            count(step.at_risk),
            count(step.events),
            count(step.censored),
            step.survival,
            step.std_err,
            step.ci_low,
            step.ci_high,
        )
    }))
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[pg_extern(sql = false)]
fn survival_median(durations: Vec<Option<f64>>, observed: Vec<Option<bool>>) -> Option<f64> {
    let known: Vec<(f64, bool)> = observations(durations, observed)
        .into_iter()
        .flatten()
        .collect();
    survival::median(&or_raise(survival::kaplan_meier(&known, 0.95)))
}

#[pg_extern(sql = false)]
fn log_rank_test(
    durations: Vec<Option<f64>>,
    observed: Vec<Option<bool>>,
    groups: Vec<Option<String>>,
) -> TableIterator<
    'static,
    (
        name!(statistic, f64),
        name!(degrees_of_freedom, i32),
        name!(p_value, f64),
    ),
> {
    let all = observations(durations, observed);
    if all.len() != groups.len() {
        or_raise::<()>(Err(lifecycle::Error::Lengths));
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut known = Vec::new();
    let mut group = Vec::new();
    for (observation, name) in all.into_iter().zip(groups) {
        let (Some(observation), Some(name)) = (observation, name) else {
            continue;
        };
        let next = numbers.len();
        known.push(observation);
        group.push(*numbers.entry(name).or_insert(next));
    }
    let test = or_raise(survival::log_rank(&known, &group, numbers.len()));
    let freedom = i32::try_from(test.degrees_of_freedom).unwrap_or(i32::MAX);
    TableIterator::once((test.statistic, freedom, test.p_value))
}

/// Two samples by count, mean and variance: Hedges' g and the p-value of Welch's t test.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
#[allow(clippy::similar_names)]
fn compare_means(
    count_a: Option<f64>,
    mean_a: Option<f64>,
    variance_a: Option<f64>,
    count_b: Option<f64>,
    mean_b: Option<f64>,
    variance_b: Option<f64>,
) -> TableIterator<
    'static,
    (
        name!(difference, Option<f64>),
        name!(effect_size, Option<f64>),
        name!(p_value, Option<f64>),
    ),
> {
    let sample = |count: Option<f64>, mean: Option<f64>, variance: Option<f64>| {
        mean.map(|mean| Sample {
            count: count.unwrap_or(0.0),
            mean,
            variance: variance.unwrap_or(f64::NAN),
        })
    };
    let found = sample(count_a, mean_a, variance_a)
        .zip(sample(count_b, mean_b, variance_b))
        .map(|(a, b)| means(a, b));
    TableIterator::once((
        found.map(|d| d.difference),
        found.and_then(|d| d.effect_size),
        found.and_then(|d| d.p_value),
    ))
}

/// Two shares: Cohen's h and the p-value of Fisher's exact test or of the z test.
#[pg_extern(schema = "analytics_internal", immutable, strict, parallel_safe)]
fn compare_shares(
    successes_a: i64,
    trials_a: i64,
    successes_b: i64,
    trials_b: i64,
) -> TableIterator<
    'static,
    (
        name!(difference, Option<f64>),
        name!(effect_size, Option<f64>),
        name!(p_value, Option<f64>),
    ),
> {
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let found = shares(
        number(successes_a),
        number(trials_a),
        number(successes_b),
        number(trials_b),
    );
    TableIterator::once((
        found.map(|d| d.difference),
        found.and_then(|d| d.effect_size),
        found.and_then(|d| d.p_value),
    ))
}

/// The score of an agent from facts about it.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
#[allow(clippy::too_many_arguments)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn health_of(
    recent_runs: Option<f64>,
    past_runs: Option<f64>,
    peer_runs: Option<f64>,
    success_rate: Option<f64>,
    past_success_rate: Option<f64>,
    runtime: Option<f64>,
    past_runtime: Option<f64>,
    peer_runtime: Option<f64>,
    cost: Option<f64>,
    past_cost: Option<f64>,
    peer_cost: Option<f64>,
    rating: Option<f64>,
    critical_errors: Option<f64>,
    days_since_change: Option<f64>,
    has_owner: Option<bool>,
) -> TableIterator<
    'static,
    (
        name!(score, Option<f64>),
        name!(performance, Option<f64>),
        name!(reliability, Option<f64>),
        name!(usage, Option<f64>),
        name!(maintenance, Option<f64>),
        name!(cost, Option<f64>),
        name!(reasons, Vec<String>),
        name!(recommendations, Vec<&'static str>),
    ),
> {
    let health = Health::of(&Facts {
        recent_runs: recent_runs.unwrap_or(0.0),
        past_runs,
        peer_runs,
        success_rate,
        past_success_rate,
        runtime,
        past_runtime,
        peer_runtime,
        cost,
        past_cost,
        peer_cost,
        rating,
        critical_errors: critical_errors.unwrap_or(0.0),
        days_since_change,
        has_owner: has_owner.unwrap_or(false),
    });
    let [performance, reliability, usage, maintenance, cost] = health.components;
    TableIterator::once((
        health.score,
        performance,
        reliability,
        usage,
        maintenance,
        cost,
        health.reasons,
        health.recommendations,
    ))
}

/// Fails when the dependencies of a workspace go round in a circle.
#[pg_extern(schema = "analytics_internal")]
fn check_dependencies(workspace_id: pgrx::Uuid) {
    crate::workspaces::require_workspace(Some(workspace_id));
    let sql = "SELECT agent_id, depends_on_agent_id FROM analytics.agent_dependencies \
               WHERE workspace_id = $1 AND ended_at IS NULL";
    let edges: Vec<([u8; 16], [u8; 16])> =
        crate::query::change_rows(sql, &[workspace_id.into()], |row| {
            let id = |column| {
                row.get::<pgrx::Uuid>(column)
                    .map_or([0; 16], |id| *id.as_bytes())
            };
            (id(1), id(2))
        });
    let Some(cycle) = find_cycle(&edges) else {
        return;
    };
    let shown: Vec<String> = cycle.iter().map(|id| name_of(workspace_id, *id)).collect();
    raise(
        PgSqlErrorCode::ERRCODE_CHECK_VIOLATION,
        format!("the dependencies form a circle: {}", shown.join(" -> ")),
        "An agent cannot depend on itself, neither directly nor through others: leave one of these out.",
    )
}

fn name_of(workspace: pgrx::Uuid, agent: [u8; 16]) -> String {
    let agent = pgrx::Uuid::from_bytes(agent);
    let sql = "SELECT name FROM analytics.agents WHERE workspace_id = $1 AND agent_id = $2";
    read_rows(sql, &[workspace.into(), agent.into()], |row| {
        row.get::<String>(1)
    })
    .pop()
    .flatten()
    .unwrap_or_else(|| agent.to_string())
}
