//! The states that a thing can have, the transitions between them, and whether the two make sense together.

use std::collections::{HashMap, HashSet};
use std::fmt;

/// Where every agent begins, also one that nobody registered: every set of states has it.
pub const INITIAL: &str = "draft";

/// A state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether nothing needs to follow.
    pub terminal: bool,
}

/// A state of the default set.
#[derive(Debug, Clone, Copy)]
pub struct DefaultState {
    /// Its name.
    pub name: &'static str,
    /// Its place on the way from draft to archive; none beside the way.
    pub position: Option<i32>,
    /// Whether nothing needs to follow.
    pub terminal: bool,
    /// What it means.
    pub description: &'static str,
}

/// A transition of the default set.
#[derive(Debug, Clone, Copy)]
pub struct DefaultTransition {
    /// State that is left.
    pub from: &'static str,
    /// State that is entered.
    pub to: &'static str,
    /// Whether a reason must be given.
    pub reason_required: bool,
}

/// A guard of the default set: metric, threshold and timeframe.
#[derive(Debug, Clone, Copy)]
pub struct DefaultGuard {
    /// State that is left.
    pub from: &'static str,
    /// State that is entered.
    pub to: &'static str,
    /// What is looked at, a word of [`METRICS`].
    pub metric: &'static str,
    /// What it must reach or stay below; none where the metric has none.
    pub threshold: Option<f64>,
    /// The time that is looked at.
    pub timeframe: &'static str,
}

/// How a metric is compared with the threshold of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The value must be the threshold or more.
    AtLeast,
    /// The value must be the threshold or less.
    AtMost,
    /// There is no threshold: it holds or it does not.
    Holds,
}

/// The vocabulary of guards.
pub const METRICS: &[(&str, Comparison)] = &[
    ("minimum_runs", Comparison::AtLeast),
    ("success_rate", Comparison::AtLeast),
    ("p95_runtime_seconds", Comparison::AtMost),
    ("cost_per_run", Comparison::AtMost),
    ("error_budget", Comparison::AtMost),
    ("avg_rating", Comparison::AtLeast),
    ("owner_present", Comparison::Holds),
    ("open_critical_errors", Comparison::AtMost),
    ("hours_in_state", Comparison::AtLeast),
    ("health_score", Comparison::AtLeast),
];

/// The comparison of a metric; none for a word that is not of the vocabulary.
pub fn comparison(metric: &str) -> Option<Comparison> {
    METRICS
        .iter()
        .find(|(name, _)| *name == metric)
        .map(|(_, comparison)| *comparison)
}

const fn state(
    name: &'static str,
    position: Option<i32>,
    terminal: bool,
    description: &'static str,
) -> DefaultState {
    DefaultState {
        name,
        position,
        terminal,
        description,
    }
}

const fn transition(
    from: &'static str,
    to: &'static str,
    reason_required: bool,
) -> DefaultTransition {
    DefaultTransition {
        from,
        to,
        reason_required,
    }
}

const fn guard(
    from: &'static str,
    to: &'static str,
    metric: &'static str,
    threshold: Option<f64>,
    timeframe: &'static str,
) -> DefaultGuard {
    DefaultGuard {
        from,
        to,
        metric,
        threshold,
        timeframe,
    }
}

/// The states of a workspace that has none of its own.
pub const DEFAULT_STATES: &[DefaultState] = &[
    state(
        "draft",
        Some(1),
        false,
        "Being written; the state of every new agent.",
    ),
    state("testing", Some(2), false, "Tried by its makers."),
    state(
        "staging",
        Some(3),
        false,
        "Tried under the conditions of production.",
    ),
    state("production", Some(4), false, "Works for its users."),
    state(
        "deprecated",
        Some(5),
        false,
        "Still works; nobody should begin to rely on it.",
    ),
    state("archived", Some(6), true, "Retired."),
    state(
        "paused",
        None,
        false,
        "Stopped for a while, with everything kept.",
    ),
];

/// The transitions of a workspace that has none of its own.
pub const DEFAULT_TRANSITIONS: &[DefaultTransition] = &[
    transition("draft", "testing", false),
    transition("draft", "archived", true),
    transition("testing", "staging", false),
    transition("testing", "draft", false),
    transition("testing", "archived", true),
    transition("staging", "production", false),
    transition("staging", "testing", false),
    transition("staging", "archived", true),
    transition("production", "deprecated", true),
    transition("production", "staging", true),
    transition("production", "paused", true),
    transition("paused", "production", false),
    transition("paused", "deprecated", true),
    transition("deprecated", "production", true),
    transition("deprecated", "archived", true),
];

/// The guards of a workspace that has none of its own.
pub const DEFAULT_GUARDS: &[DefaultGuard] = &[
    guard("testing", "staging", "minimum_runs", Some(10.0), "7d"),
    guard("testing", "staging", "success_rate", Some(0.8), "7d"),
    guard("staging", "production", "minimum_runs", Some(50.0), "30d"),
    guard("staging", "production", "success_rate", Some(0.95), "30d"),
    guard("staging", "production", "owner_present", None, "30d"),
    guard(
        "staging",
        "production",
        "open_critical_errors",
        Some(0.0),
        "7d",
    ),
];

/// What is wrong with a set of states and transitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The state in which agents begin is missing.
    NoInitial,
    /// A state that cannot be reached from the initial one.
    Unreachable(String),
    /// A state that cannot be left and is not declared terminal.
    DeadEnd(String),
    /// A transition names a state that is not there.
    UnknownState(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInitial => write!(f, "state \"{INITIAL}\", in which agents begin, is missing"),
            Self::Unreachable(state) => {
                write!(f, "state \"{state}\" cannot be reached from \"{INITIAL}\"")
            }
            Self::DeadEnd(state) => write!(f, "state \"{state}\" cannot be left"),
            Self::UnknownState(state) => {
                write!(
                    f,
                    "a transition names state \"{state}\", which does not exist"
                )
            }
        }
    }
}

impl Problem {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoInitial => {
                "Keep that state, or remove all states to get the default ones back."
            }
            Self::Unreachable(_) => "Add a transition that leads to it, or remove the state.",
            Self::DeadEnd(_) => "Add a transition out of it, or declare it terminal.",
            Self::UnknownState(_) => "Add the state, or remove the transition.",
        }
    }
}

/// The first problem of a set of states and transitions. No state at all is no problem: the default ones hold then.
///
/// # Errors
/// See [`Problem`].
pub fn validate(states: &[State], transitions: &[(&str, &str)]) -> Result<(), Problem> {
    let known: HashSet<&str> = states.iter().map(|state| state.name).collect();
    for name in transitions.iter().flat_map(|(from, to)| [from, to]) {
        if !known.contains(name) {
            return Err(Problem::UnknownState((*name).to_owned()));
        }
    }
    if states.is_empty() {
        return Ok(());
    }
    if !known.contains(INITIAL) {
        return Err(Problem::NoInitial);
    }
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for (from, to) in transitions {
        next.entry(from).or_default().push(to);
    }
    let mut reached: HashSet<&str> = HashSet::from([INITIAL]);
    let mut left = vec![INITIAL];
    while let Some(state) = left.pop() {
        for target in next.get(state).into_iter().flatten() {
            if reached.insert(target) {
                left.push(target);
            }
        }
    }
    for state in states {
        if !reached.contains(state.name) {
            return Err(Problem::Unreachable(state.name.to_owned()));
        }
        if !state.terminal && !next.contains_key(state.name) {
            return Err(Problem::DeadEnd(state.name.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states<'a>(names: &[(&'a str, bool)]) -> Vec<State<'a>> {
        names
            .iter()
            .map(|(name, terminal)| State {
                name,
                terminal: *terminal,
            })
            .collect()
    }

    #[test]
    fn the_default_set_makes_sense() {
        let states: Vec<State> = DEFAULT_STATES
            .iter()
            .map(|s| State {
                name: s.name,
                terminal: s.terminal,
            })
            .collect();
        let transitions: Vec<(&str, &str)> =
            DEFAULT_TRANSITIONS.iter().map(|t| (t.from, t.to)).collect();
        assert_eq!(validate(&states, &transitions), Ok(()));
        for guard in DEFAULT_GUARDS {
            assert!(transitions.contains(&(guard.from, guard.to)));
            let comparison = comparison(guard.metric).unwrap();
            assert_eq!(comparison == Comparison::Holds, guard.threshold.is_none());
        }
    }

    #[test]
    fn what_makes_no_sense() {
        let check = |names: &[(&str, bool)], transitions: &[(&str, &str)]| {
            validate(&states(names), transitions).unwrap_err()
        };
        assert_eq!(validate(&[], &[]), Ok(()));
        assert_eq!(validate(&states(&[("draft", true)]), &[]), Ok(()));
        assert_eq!(check(&[("a", true)], &[]), Problem::NoInitial);
        assert_eq!(
            check(&[("draft", false)], &[]),
            Problem::DeadEnd("draft".into())
        );
        assert_eq!(
            check(&[("draft", true)], &[("draft", "x")]),
            Problem::UnknownState("x".into())
        );
        assert_eq!(
            check(&[], &[("draft", "x")]),
            Problem::UnknownState("draft".into())
        );
        let island = [("draft", true), ("a", false), ("b", false)];
        assert_eq!(
            check(&island, &[("a", "b"), ("b", "a")]),
            Problem::Unreachable("a".into())
        );
        let dead_end = [("draft", false), ("a", false)];
        assert_eq!(
            check(&dead_end, &[("draft", "a")]),
            Problem::DeadEnd("a".into())
        );
    }
}
