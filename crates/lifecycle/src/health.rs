//! The health score of an agent: five components, each from 0 to 100, each of parts that compare the agent with its
//! peers, with its own past, or with a fixed scale. A part without data does not count; the weights of the others grow.

/// What is known about an agent. Recent is the last 7 days, past the 30 days before them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Facts {
    /// Runs in the last 7 days.
    pub recent_runs: f64,
    /// Runs a week in the past.
    pub past_runs: Option<f64>,
    /// Median of `recent_runs` over the other agents in the same state.
    pub peer_runs: Option<f64>,
    /// Share of finished runs that completed, recently.
    pub success_rate: Option<f64>,
    /// The same in the past.
    pub past_success_rate: Option<f64>,
    /// p95 of the runtime in seconds, recently.
    pub runtime: Option<f64>,
    /// The same in the past.
    pub past_runtime: Option<f64>,
    /// Median of `runtime` over the peers.
    pub peer_runtime: Option<f64>,
    /// Credits per run, recently.
    pub cost: Option<f64>,
    /// The same in the past.
    pub past_cost: Option<f64>,
    /// Median of `cost` over the peers.
    pub peer_cost: Option<f64>,
    /// Mean rating, 1 to 5, recently.
    pub rating: Option<f64>,
    /// Critical errors that were not recovered, recently.
    pub critical_errors: f64,
    /// Days since somebody last worked on the agent: a version, a deployment, a change of state.
    pub days_since_change: Option<f64>,
    /// Whether somebody answers for it.
    pub has_owner: bool,
}

/// Weight of each component, in the order of [`Health::components`].
pub const WEIGHTS: [(&str, f64); 5] = [
    ("performance", 0.25),
    ("reliability", 0.25),
    ("usage", 0.20),
    ("maintenance", 0.15),
    ("cost", 0.15),
];

/// Below this a component is worth a word.
pub const POOR: f64 = 60.0;

/// Days after which the part of a change in maintenance has halved.
pub const HALF_LIFE_DAYS: f64 = 180.0;

/// The score and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// 0 to 100; none when nothing is known.
    pub score: Option<f64>,
    /// Performance, reliability, usage, maintenance, cost; none where nothing is known.
    pub components: [Option<f64>; 5],
    /// What is poor, in words.
    pub reasons: Vec<String>,
    /// What to do about it.
    pub recommendations: Vec<&'static str>,
}

/// The mean of the parts that are there, by weight.
fn mean(parts: &[(f64, Option<f64>)]) -> Option<f64> {
    let known = || {
        parts
            .iter()
            .filter_map(|(weight, part)| part.map(|part| (weight, part)))
    };
    let total: f64 = known().map(|(weight, _)| weight).sum();
    (total > 0.0).then(|| known().map(|(weight, part)| weight * part).sum::<f64>() / total)
}

/// 100 when `value` is as low as the reference, 50 when it is twice as high.
fn low_is_good(value: Option<f64>, reference: Option<f64>) -> Option<f64> {
    let (value, reference) = (value?, reference?);
    if value <= reference {
        return Some(100.0);
    }
    Some(100.0 * (reference / value).max(0.0))
}

/// 100 when `value` is as high as the reference, 50 when it is half as high.
fn high_is_good(value: Option<f64>, reference: Option<f64>) -> Option<f64> {
    low_is_good(reference, value)
}

impl Health {
    /// The score of an agent with these facts.
    pub fn of(facts: &Facts) -> Self {
        let runs = Some(facts.recent_runs);
        let performance = mean(&[
            (0.5, low_is_good(facts.runtime, facts.peer_runtime)),
            (0.3, low_is_good(facts.runtime, facts.past_runtime)),
            (0.2, facts.rating.map(|rating| (rating - 1.0) * 25.0)),
        ]);
        let reliability = facts.success_rate.and_then(|rate| {
            mean(&[
                (0.7, Some(100.0 * rate)),
                (
                    0.2,
                    high_is_good(facts.success_rate, facts.past_success_rate),
                ),
                (0.1, Some(100.0 / (1.0 + facts.critical_errors.max(0.0)))),
            ])
        });
        let usage = mean(&[
            (0.5, high_is_good(runs, facts.peer_runs)),
            (0.5, high_is_good(runs, facts.past_runs)),
        ]);
        let freshness = facts
            .days_since_change
            .map(|days| 100.0 * (-days.max(0.0) / HALF_LIFE_DAYS).exp2());
        let maintenance = mean(&[
            (0.6, freshness),
            (0.4, Some(if facts.has_owner { 100.0 } else { 0.0 })),
        ]);
        let cost = mean(&[
            (0.6, low_is_good(facts.cost, facts.peer_cost)),
            (0.4, low_is_good(facts.cost, facts.past_cost)),
        ]);
        let components = [performance, reliability, usage, maintenance, cost];
        let weighted: Vec<(f64, Option<f64>)> = WEIGHTS
            .iter()
            .zip(components)
            .map(|((_, weight), part)| (*weight, part))
            .collect();
        let mut health = Self {
            score: mean(&weighted),
            components,
            reasons: Vec::new(),
            recommendations: Vec::new(),
        };
        health.explain(facts);
        health
    }

    fn explain(&mut self, facts: &Facts) {
        let poor = |part: Option<f64>| part.is_some_and(|part| part < POOR);
        let [performance, reliability, usage, maintenance, cost] = self.components;
        let mut say = |reason: String, recommendation: &'static str| {
            self.reasons.push(reason);
            self.recommendations.push(recommendation);
        };
        if poor(performance)
            && let Some(runtime) = facts.runtime
        {
            let peers = facts
                .peer_runtime
                .map_or(String::new(), |peer| format!(", {peer:.1} s for its peers"));
            let past = facts
                .past_runtime
                .map_or(String::new(), |past| format!(", {past:.1} s before"));
            say(
                format!("performance: p95 runtime {runtime:.1} s{peers}{past}"),
                "Compare its versions with compare_versions() and look at its slowest runs.",
            );
        }
        if poor(reliability)
            && let Some(rate) = facts.success_rate
        {
            say(
                format!(
                    "reliability: {:.1} % of its finished runs completed",
                    100.0 * rate
                ),
                "Look at its errors; roll its last deployment back if they began with it.",
            );
        }
        if facts.critical_errors > 0.0 {
            say(
                format!(
                    "reliability: {:.0} critical errors were not recovered",
                    facts.critical_errors
                ),
                "Solve the critical errors first.",
            );
        }
        if poor(usage) {
            let past = facts
                .past_runs
                .map_or(String::new(), |past| format!(", {past:.0} a week before"));
            say(
                format!("usage: {:.0} runs in 7 days{past}", facts.recent_runs),
                "Ask its users; consider retirement_candidates().",
            );
        }
        if poor(maintenance) {
            say(
                if facts.has_owner {
                    format!(
                        "maintenance: unchanged for {:.0} days",
                        facts.days_since_change.unwrap_or(0.0)
                    )
                } else {
                    "maintenance: nobody answers for it".to_owned()
                },
                if facts.has_owner {
                    "Review it and register a version."
                } else {
                    "Give it an owner."
                },
            );
        }
        if poor(cost)
            && let Some(credits) = facts.cost
        {
            let peers = facts
                .peer_cost
                .map_or(String::new(), |peer| format!(", {peer:.3} for its peers"));
            say(
                format!("cost: {credits:.3} credits a run{peers}"),
                "Try a smaller model or shorter prompts.",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn good() -> Facts {
        Facts {
            recent_runs: 100.0,
            past_runs: Some(100.0),
            peer_runs: Some(50.0),
            success_rate: Some(1.0),
            past_success_rate: Some(0.9),
            runtime: Some(1.0),
            past_runtime: Some(1.0),
            peer_runtime: Some(2.0),
            cost: Some(0.1),
            past_cost: Some(0.1),
            peer_cost: Some(0.1),
            rating: Some(5.0),
            critical_errors: 0.0,
            days_since_change: Some(0.0),
            has_owner: true,
        }
    }

    #[test]
    fn weights_are_those_of_the_original() {
        assert!((WEIGHTS.iter().map(|w| w.1).sum::<f64>() - 1.0).abs() < 1e-12);
        let health = Health::of(&good());
        assert!((health.score.unwrap() - 100.0).abs() < 1e-9);
        assert!(health.reasons.is_empty());
    }

    #[test]
    fn one_component_by_hand() {
        let slow = Health::of(&Facts {
            runtime: Some(4.0),
            rating: None,
            ..good()
        });
        // (0.5 * 50 + 0.3 * 25) / 0.8
        assert!((slow.components[0].unwrap() - 40.625).abs() < 1e-9);
        assert!((slow.score.unwrap() - (100.0 - 0.25 * (100.0 - 40.625))).abs() < 1e-9);
        assert_eq!(slow.reasons.len(), 1);
        assert!(slow.reasons[0].contains("4.0 s"), "{slow:?}");
    }

    #[test]
    fn an_agent_of_which_nothing_is_known() {
        let health = Health::of(&Facts::default());
        assert_eq!(health.components, [None, None, None, Some(0.0), None]);
        assert_eq!(health.score, Some(0.0));
    }

    proptest! {
        #[test]
        fn stays_within_bounds_and_gets_no_better_by_failing(
            rate in 0.0..1.0f64, worse in 0.0..1.0f64, runs in 0.0..1e6f64, runtime in 1e-3..1e4f64,
            cost in 0.0..10.0f64, days in 0.0..2000.0f64, errors in 0u8..20
        ) {
            let facts = Facts {
                success_rate: Some(rate), recent_runs: runs, runtime: Some(runtime), cost: Some(cost),
                days_since_change: Some(days), critical_errors: f64::from(errors), ..good()
            };
            let health = Health::of(&facts);
            for part in health.components.iter().flatten().chain(&health.score) {
                prop_assert!((0.0..=100.0 + 1e-9).contains(part));
            }
            let failing = Health::of(&Facts { success_rate: Some(rate * worse), ..facts });
            prop_assert!(failing.score.unwrap() <= health.score.unwrap() + 1e-9);
        }
    }
}
