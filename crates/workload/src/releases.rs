//! The releases of an agent.

use crate::incidents::Incident;
use crate::life::Life;
use crate::numbers::nearest;
use crate::random::Rng;
use crate::time::DAY;

/// A release of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Semantic version, such as `1.4.2`.
    pub name: String,
    /// When it was released.
    pub released_at: i64,
}

/// An agent has about this many releases at most, however long it lives.
const MOST_RELEASES: i64 = 24;

/// Releases every few weeks while the agent lives. A bad release is a minor version that comes at
/// the start of its incident and is followed by a patch at the end.
pub(crate) fn releases(
    life: &Life,
    window_end: i64,
    bad_release: Option<&Incident>,
    rng: &mut Rng,
) -> Vec<Version> {
    let last = life.retired_at.unwrap_or(window_end);
    let interval = (18 * DAY).max((last - life.created_at) / MOST_RELEASES);
    let mut dates = vec![(life.created_at, false)];
    let mut at = life.created_at;
    loop {
        at += nearest(interval as f64 * rng.range(0.6, 1.4));
        if at >= last {
            break;
        }
        dates.push((at, rng.chance(0.3)));
    }
    if let Some(incident) = bad_release {
        dates.retain(|(at, _)| !(incident.start_micros..=incident.end_micros).contains(at));
        dates.extend([(incident.start_micros, false), (incident.end_micros, true)]);
        dates.sort_unstable();
    }
    number(dates)
}

/// Numbers releases in time order; each is a patch or else a minor version.
fn number(dates: Vec<(i64, bool)>) -> Vec<Version> {
    let mut current: Option<(u32, u32)> = None;
    let name = |(released_at, is_patch)| {
        let (minor, patch) = match current {
            None => (0, 0),
            Some((minor, patch)) if is_patch => (minor, patch + 1),
            Some((minor, _)) => (minor + 1, 0),
        };
        current = Some((minor, patch));
        Version {
            name: format!("1.{minor}.{patch}"),
            released_at,
        }
    };
    dates.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise() {
        let versions = number(vec![(1, false), (2, false), (3, true), (4, false)]);
        let names: Vec<&str> = versions
            .iter()
            .map(|version| version.name.as_str())
            .collect();
        assert_eq!(names, ["1.0.0", "1.1.0", "1.1.1", "1.2.0"]);
    }
}
