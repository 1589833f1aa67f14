//! The law of an agent's runtimes: a lognormal body with a Pareto tail.

use std::f64::consts::SQRT_2;

use crate::random::Rng;

/// Distribution of the time an agent needs, before its timeout cuts it off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuntimeLaw {
    /// Median of the lognormal body, in seconds.
    pub median_seconds: f64,
    /// Standard deviation of the logarithm of the body.
    pub sigma: f64,
    /// Share of runs that come from the tail.
    pub tail_share: f64,
    /// Where the tail starts, in seconds.
    pub tail_start_seconds: f64,
    /// Exponent of the tail: P(longer than x) = (start / x) ^ exponent.
    pub tail_exponent: f64,
}

impl RuntimeLaw {
    /// P(not longer than `seconds`).
    pub fn cdf(&self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return 0.0;
        }
        let deviation = libm::log(seconds / self.median_seconds) / self.sigma;
        let body = 0.5 * libm::erfc(-deviation / SQRT_2);
        let beyond = libm::pow(self.tail_start_seconds / seconds, self.tail_exponent);
        (1.0 - self.tail_share) * body + self.tail_share * (1.0 - beyond).max(0.0)
    }

    /// Draws a time; a draw from the body lies the given number of deviations above the median, so
    /// that other properties of the run can go with it.
    pub(crate) fn draw(&self, rng: &mut Rng, deviation: f64) -> f64 {
        if rng.chance(self.tail_share) {
            let beyond = 1.0 - rng.unit();
            self.tail_start_seconds * libm::pow(beyond, -1.0 / self.tail_exponent)
        } else {
            self.median_seconds * libm::exp(self.sigma * deviation)
        }
    }
}

/// The x in 0 .. `high` at which a rising function reaches `level`.
pub(crate) fn solve(rising: impl Fn(f64) -> f64, level: f64, high: f64) -> f64 {
    let (mut low, mut high) = (0.0, high);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if rising(middle) < level {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn draws_follow_the_distribution() {
        let law = RuntimeLaw {
            median_seconds: 10.0,
            sigma: 0.8,
            tail_share: 0.05,
            tail_start_seconds: 40.0,
            tail_exponent: 1.5,
        };
        let mut rng = Rng::keyed(3, Stream::Run, 0);
        let draws: Vec<f64> = (0..100_000)
            .map(|_| {
                let (deviation, _) = rng.normal_pair();
                law.draw(&mut rng, deviation)
            })
            .collect();
        for seconds in [3.0, 10.0, 30.0, 60.0, 200.0] {
            let share = draws.iter().filter(|&&draw| draw <= seconds).count() as f64 / 1e5;
            assert!(
                (share - law.cdf(seconds)).abs() < 0.006,
                "{seconds}: {share}"
            );
        }
    }

    #[test]
    fn solve_finds_the_root() {
        assert!((solve(|x| x * x, 2.0, 10.0) - SQRT_2).abs() < 1e-12);
    }
}
