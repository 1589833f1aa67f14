//! The single methods: recursions that learn from one value after the other and can be asked at any time for what comes
//! next. All of them sit on the same seasonal profiles.

use super::profile::Profiles;

/// A method of forecasting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The last value goes on.
    Naive,
    /// The last season goes on.
    SeasonalNaive,
    /// Exponential smoothing of the level.
    Smoothing,
    /// Exponential smoothing of level and damped trend.
    Damped,
    /// Theta: smoothing with half of the long trend.
    Theta,
    /// Return to a slowly moving mean.
    Reverting,
    /// Return to a straight line through the whole series.
    Line,
    /// Teunter, Syntetos and Babai's: chance of a demand and its size, apart.
    Intermittent,
}

impl Method {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::SeasonalNaive => "seasonal_naive",
            Self::Smoothing => "smoothing",
            Self::Damped => "damped_trend",
            Self::Theta => "theta",
            Self::Reverting => "mean_reverting",
            Self::Line => "linear_trend",
            Self::Intermittent => "intermittent",
        }
    }

    /// All methods.
    pub const ALL: [Self; 8] = [
        Self::Naive,
        Self::SeasonalNaive,
        Self::Smoothing,
        Self::Damped,
        Self::Theta,
        Self::Reverting,
        Self::Line,
        Self::Intermittent,
    ];
}

/// What a method has learned about the series without its seasons.
#[derive(Clone, Debug)]
pub enum Core {
    /// Level, and how fast it moves.
    Level { level: f64, alpha: f64 },
    /// Level and trend, which fades by `phi` a step.
    Trend {
        level: f64,
        slope: f64,
        alpha: f64,
        beta: f64,
        phi: f64,
    },
    /// Level and a trend that stays.
    Drift { level: f64, drift: f64, alpha: f64 },
    /// A mean (or a line) and how much of the last distance from it is left a step later.
    Revert {
        mean: f64,
        slope: f64,
        alpha: f64,
        rho: f64,
        distance: f64,
    },
    /// The last season's values, by place, over `mean`.
    Season { last: Vec<f64>, at: usize },
    /// Chance of something, and how much.
    Demand {
        chance: f64,
        size: f64,
        alpha: f64,
        beta: f64,
    },
}

impl Core {
    /// The value `h >= 1` steps ahead, without seasons.
    pub fn ahead(&self, h: usize) -> f64 {
        let steps = h as f64;
        match self {
            Self::Level { level, .. } => *level,
            Self::Trend {
                level, slope, phi, ..
            } => {
                let reach = if *phi < 1.0 {
                    phi * (1.0 - phi.powf(steps)) / (1.0 - phi)
                } else {
                    steps
                };
                level + slope * reach
            }
            Self::Drift { level, drift, .. } => level + drift * steps,
            Self::Revert {
                mean,
                slope,
                rho,
                distance,
                ..
            } => mean + slope * steps + distance * rho.powf(steps),
            Self::Season { last, at } => {
                let length = last.len().max(1);
                last.get((at + h - 1) % length).copied().unwrap_or(0.0)
            }
            Self::Demand { chance, size, .. } => chance * size,
        }
    }

    /// The values of so many steps ahead, without seasons.
    pub fn path(&self, steps: usize) -> Vec<f64> {
        match self {
            Self::Trend {
                level, slope, phi, ..
            } => {
                let (mut reach, mut power) = (0.0, 1.0);
                let next = |_| {
                    power *= phi;
                    reach += power;
                    level + slope * reach
                };
                (0..steps).map(next).collect()
            }
            Self::Revert {
                mean,
                slope,
                rho,
                distance,
                ..
            } => {
                let (mut center, mut left) = (*mean, *distance);
                let next = |_| {
                    center += slope;
                    left *= rho;
                    center + left
                };
                (0..steps).map(next).collect()
            }
            _ => (1..=steps).map(|h| self.ahead(h)).collect(),
        }
    }

    /// Learns the next value without seasons, or passes a gap.
    pub fn learn(&mut self, x: f64) {
        let known = !x.is_nan();
        match self {
            Self::Level { level, alpha } => {
                if known {
                    *level += *alpha * (x - *level);
                }
            }
            Self::Trend {
                level,
                slope,
                alpha,
                beta,
                phi,
            } => {
                let expected = *level + *phi * *slope;
                let error = if known { x - expected } else { 0.0 };
                *level = expected + *alpha * error;
                *slope = *phi * *slope + *beta * error;
            }
            Self::Drift {
                level,
                drift,
                alpha,
            } => {
                *level += *drift;
                if known {
                    *level += *alpha * (x - *level);
                }
            }
            Self::Revert {
                mean,
                slope,
                alpha,
                rho,
                distance,
            } => {
                *mean += *slope;
                if known {
                    *mean += *alpha * (x - *mean);
                    *distance = x - *mean;
                } else {
                    *distance *= *rho;
                }
            }
            Self::Season { last, at } => {
                if let Some(slot) = last.get_mut(*at).filter(|_| known) {
                    *slot = x;
                }
                *at = (*at + 1) % last.len().max(1);
            }
            Self::Demand {
                chance,
                size,
                alpha,
                beta,
            } => {
                if known {
                    let is_something = x != 0.0;
                    *chance += *beta * (f64::from(u8::from(is_something)) - *chance);
                    if is_something {
                        *size += *alpha * (x - *size);
                    }
                }
            }
        }
    }

    /// Variance of the error `h` steps ahead, where that of one step is 1; from the weights with which past errors enter.
    pub fn growth(&self, horizon: usize) -> Vec<f64> {
        let mut total = 1.0;
        let mut result = Vec::with_capacity(horizon);
        for h in 1..=horizon {
            result.push(total);
            let weight = match self {
                Self::Level { alpha, .. } | Self::Drift { alpha, .. } => *alpha,
                Self::Trend {
                    alpha, beta, phi, ..
                } => {
                    let steps = h as f64;
                    let reach = if *phi < 1.0 {
                        phi * (1.0 - phi.powf(steps)) / (1.0 - phi)
                    } else {
                        steps
                    };
                    alpha + beta * reach
                }
                Self::Revert { rho, alpha, .. } => alpha + (1.0 - alpha) * rho.powf(h as f64),
                Self::Season { last, .. } => f64::from(u8::from(h % last.len().max(1) == 0)),
                Self::Demand { .. } => 0.0,
            };
            total += weight * weight;
        }
        result
    }
}

/// A fitted method with its seasons, at some time.
#[derive(Clone, Debug)]
pub struct Model {
    pub method: Method,
    pub core: Core,
    pub profiles: Profiles,
    /// How fast the profiles follow the series.
    pub gamma: f64,
    /// The place that comes next.
    pub next: usize,
}

impl Model {
    /// Learns the value at the next place.
    pub fn learn(&mut self, x: f64) {
        let season = self.profiles.now();
        if self.gamma > 0.0 && !x.is_nan() {
            let error = x - season - self.core.ahead(1);
            self.profiles.nudge(self.gamma * error);
        }
        self.core.learn(x - season);
        self.profiles.advance();
        self.next += 1;
    }

    /// The next value.
    pub fn expected(&self) -> f64 {
        self.core.ahead(1) + self.profiles.now()
    }

    /// The values of so many steps ahead.
    pub fn path(&self, steps: usize) -> Vec<f64> {
        let mut path = self.core.path(steps);
        self.profiles.add_to(&mut path);
        path
    }
}
