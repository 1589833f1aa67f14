//! The life of an agent.

use crate::kinds::LifecycleState;
use crate::numbers::nearest;
use crate::params::Params;
use crate::random::Rng;
use crate::time::DAY;

/// When an agent lives and what became of it.
pub(crate) struct Life {
    pub created_at: i64,
    pub retired_at: Option<i64>,
    pub state: LifecycleState,
}

impl Life {
    /// The two most popular agents of a workspace are in production during the whole window, so
    /// that no workspace is ever without an agent and incidents concern agents that are in use.
    pub(crate) fn draw(params: &Params, rank: usize, rng: &mut Rng) -> Self {
        use LifecycleState::{Archived, Deprecated, Draft, Production, Staging, Testing};
        const STATES: [LifecycleState; 6] =
            [Production, Staging, Testing, Draft, Deprecated, Archived];
        let drawn = STATES[rng.weighted(&[56, 66, 76, 82, 93, 100])];
        let state = if rank < 2 { Production } else { drawn };
        let (start, span) = (params.start_micros(), i64::from(params.days) * DAY);
        let part = |percent: f64| start + nearest(span as f64 * percent / 100.0);
        let before = start - nearest(rng.range(20.0, 400.0) * DAY as f64);
        let is_newcomer = rank >= 2 && rng.chance(0.2);
        let created_at = match state {
            Production if is_newcomer => part(rng.range(10.0, 60.0)),
            Staging | Testing => part(rng.range(50.0, 85.0)),
            Draft => part(rng.range(88.0, 96.0)),
            _ => before,
        };
        let retired_at = match state {
            Deprecated => Some(part(rng.range(60.0, 92.0))),
            Archived => Some(part(rng.range(15.0, 55.0))),
            _ => None,
        };
        Self {
            created_at,
            retired_at,
            state,
        }
    }
}
