//! Methods at rolling origins: what each would have said, and how far off it would have been.

use super::fitting::fit;
use super::models::{Method, Model};
use super::profile::Profiles;
use super::{NEWEST, Prepared};
use crate::error::{Error, Watch};

/// Origins at which methods are compared.
const MOST_ORIGINS: usize = 40;
/// Steps ahead that are compared: longer horizons follow from how errors grow.
const MOST_COMPARED: usize = 400;
/// Methods that are combined.
const COMBINED: usize = 3;

/// One method at the rolling origins.
pub struct Trial {
    pub method: Method,
    /// Whether the logarithm was modelled.
    pub is_log: bool,
    /// By origin, then step.
    forecasts: Vec<Vec<f64>>,
    loss: f64,
}

/// Leads methods (all that fit the series, or only this one) through the origins; the best comes first.
pub fn compare(
    prepared: &Prepared,
    split: &Split,
    only: Option<Method>,
    watch: &dyn Watch,
) -> Result<Vec<Trial>, Error> {
    let methods: &[Method] = only.as_ref().map_or(&Method::ALL, std::slice::from_ref);
    let mut trials = Vec::new();
    for (series, is_log) in [
        (Some(&prepared.clean), false),
        (prepared.logs.as_ref(), true),
    ] {
        let Some(training) = series.and_then(|series| series.get(..split.training)) else {
            continue;
        };
        let profiles = Profiles::learn(training, &prepared.periods);
        for method in methods {
            watch.check()?;
            let is_out_of_place = is_log || !(prepared.is_intermittent || only.is_some());
            if *method == Method::Intermittent && is_out_of_place {
                continue;
            }
            if let Some(model) = fit(*method, training, &profiles, NEWEST, split.ahead()) {
                trials.push(split.run(model, prepared, is_log));
            }
        }
    }
    trials.retain(|t| t.loss.is_finite());
    trials.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    Ok(trials)
}

/// The best by itself, or those whose mean is as good: methods that err differently correct each other. Empty without any.
pub fn choose<'a>(trials: &'a [Trial], prepared: &Prepared, split: &Split) -> Vec<&'a Trial> {
    let Some(best) = trials.first() else {
        return Vec::new();
    };
    let alike: Vec<&Trial> = trials
        .iter()
        .filter(|t| t.is_log == best.is_log)
        .take(COMBINED)
        .collect();
    let together = split.loss(&mean_of(&alike), &prepared.y, prepared.is_intermittent);
    if together <= best.loss * 1.02 {
        alike
    } else {
        vec![best]
    }
}

/// The mean of what some methods said.
pub fn mean_of(trials: &[&Trial]) -> Vec<Vec<f64>> {
    let mut result = trials
        .first()
        .map_or_else(Vec::new, |t| t.forecasts.clone());
    for trial in trials.iter().skip(1) {
        for (sum, row) in result.iter_mut().zip(&trial.forecasts) {
            for (a, b) in sum.iter_mut().zip(row) {
                *a += b;
            }
        }
    }
    let count = trials.len().max(1) as f64;
    for x in result.iter_mut().flatten() {
        *x /= count;
    }
    result
}

/// Which part of a series methods learn from before they are asked, and where.
pub struct Split {
    /// Length of the first part.
    pub training: usize,
    /// Places at which they are asked.
    pub origins: Vec<usize>,
    /// Steps ahead for which they are asked.
    pub compared: usize,
}

impl Split {
    pub fn of(values: &[f64], horizon: usize, periods: &[usize]) -> Self {
        let n = values.len();
        let compared = horizon.min(MOST_COMPARED).min((n / 4).max(1));
        // Two seasons are needed to know one, and most of the series to know a trend.
        let longest = periods
            .iter()
            .copied()
            .filter(|p| p * 2 <= n)
            .max()
            .unwrap_or(1);
        let wanted = (n / 3).max(2 * compared).min(n / 2).max(1);
        let training =
            (n - wanted).max((2 * longest + 1).min(n.saturating_sub(compared.min(n / 6).max(1))));
        let room = n - training;
        let stride = (room / MOST_ORIGINS).max(1);
        let mut origins: Vec<usize> = (training..n)
            .rev()
            .step_by(stride)
            .take(MOST_ORIGINS)
            .collect();
        origins.reverse();
        Self {
            training,
            origins,
            compared,
        }
    }

    /// The step for which parameters are fitted: the middle of the horizon.
    pub fn ahead(&self) -> usize {
        self.compared.div_ceil(2).max(1)
    }

    fn run(&self, mut model: Model, prepared: &Prepared, is_log: bool) -> Trial {
        let (series, y) = (prepared.series(is_log), &prepared.y);
        let method = model.method;
        let mut forecasts = Vec::with_capacity(self.origins.len());
        for origin in &self.origins {
            while model.next < *origin {
                let x = series.get(model.next).copied().unwrap_or(f64::NAN);
                model.learn(x);
            }
            let steps = self.compared.min(y.len() - origin);
            let mut path = model.path(steps);
            if is_log {
                for x in &mut path {
                    *x = x.exp();
                }
            }
            forecasts.push(path);
        }
        let loss = self.loss(&forecasts, y, prepared.is_intermittent);
        Trial {
            method,
            is_log,
            forecasts,
            loss,
        }
    }

    /// Mean absolute error; of series that are mostly zero the root of the mean square, because zero itself has the least
    /// absolute error and says nothing.
    pub fn loss(&self, forecasts: &[Vec<f64>], y: &[f64], is_square: bool) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for (origin, row) in self.origins.iter().zip(forecasts) {
            for (f, x) in row.iter().zip(y.iter().skip(*origin)) {
                if !x.is_nan() {
                    sum += if is_square {
                        (x - f).powi(2)
                    } else {
                        (x - f).abs()
                    };
                    count += 1.0;
                }
            }
        }
        let mean = if count > 0.0 {
            sum / count
        } else {
            f64::INFINITY
        };
        if is_square { mean.sqrt() } else { mean }
    }
}
