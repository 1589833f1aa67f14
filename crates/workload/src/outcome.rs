//! What becomes of a run: its state, how long it takes, what it consumes.

use crate::agent::{Agent, CANCEL_RATE, ModelUse};
use crate::incidents::Effect;
use crate::kinds::Status;
use crate::numbers::nearest;
use crate::random::Rng;
use crate::time::SECOND;

/// Part of the finished runs whose tokens nobody recorded.
const TOKENS_UNKNOWN: f64 = 0.04;
/// Every run costs this many millionths of a credit, whatever its model.
const BASE_CREDITS: i64 = 10_000;
/// No run is shorter than this.
const SHORTEST: i64 = SECOND / 20;

/// How a run ends, if nothing interrupts it.
pub(crate) struct Outcome {
    pub status: Status,
    pub runtime_micros: i64,
    /// How many e-foldings slower than the median of the agent and its model.
    pub slowness: f64,
    pub usage: Usage,
}

/// What a run consumes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Prompt and completion, where known.
    pub tokens: Option<(i64, i64)>,
    pub credits_micros: i64,
}

/// Draws the end of a run. The truth that [`Agent`] states follows from exactly these rules.
pub(crate) fn draw(agent: &Agent, used: &ModelUse, effect: Effect, rng: &mut Rng) -> Outcome {
    let luck = rng.unit();
    let (pace, verbosity) = rng.normal_pair();
    let factor = used.model.runtime_factor * effect.runtime_factor;
    let full = agent.runtime.draw(rng, pace) * factor;
    let progress = rng.range(0.05, 1.0);
    let (status, seconds, done) = if luck >= 1.0 - CANCEL_RATE {
        (
            Status::Cancelled,
            (full * progress).min(agent.timeout_seconds),
            progress,
        )
    } else if luck >= used.soundness * effect.success_factor {
        (
            Status::Failed,
            (full * progress).min(agent.timeout_seconds),
            progress,
        )
    } else if full > agent.timeout_seconds {
        (Status::Timeout, agent.timeout_seconds, 1.0)
    } else {
        (Status::Completed, full, 1.0)
    };
    let typical = agent.runtime.median_seconds * used.model.runtime_factor;
    Outcome {
        status,
        runtime_micros: nearest(seconds * SECOND as f64).max(SHORTEST),
        slowness: libm::log(seconds / typical).clamp(-2.0, 4.0),
        usage: usage(agent, used, done, [pace, verbosity], rng),
    }
}

/// Longer runs write more; what is cut short has used only a part.
fn usage(
    agent: &Agent,
    used: &ModelUse,
    done: f64,
    [pace, verbosity]: [f64; 2],
    rng: &mut Rng,
) -> Usage {
    let prompt = nearest(agent.prompt_tokens * done * libm::exp(0.8 * verbosity)).max(1);
    let written = libm::exp(0.5 * pace + 0.3 * verbosity);
    let completion = nearest(agent.completion_tokens * done * written);
    let model = used.model;
    let price = prompt * model.prompt_price + completion * model.completion_price;
    Usage {
        tokens: (!rng.chance(TOKENS_UNKNOWN)).then_some((prompt, completion)),
        credits_micros: BASE_CREDITS + price / 1_000,
    }
}
