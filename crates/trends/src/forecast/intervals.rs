//! How far off a forecast may be: from the size and the shape of past errors.

use super::models::{Core, Model};
use super::trials::Split;
use super::{Forecast, Options, Point};
use crate::distributions::student_quantile_above;
use crate::robust;

/// How many standard deviations hold a share of the errors: as the past ones say, and with few of them as Student's t.
fn width(shapes: &[f64], freedom: f64, level: f64) -> f64 {
    let theory = student_quantile_above((1.0 - level) / 2.0, freedom.max(1.0));
    let count = freedom.min(shapes.len() as f64);
    // A quantile needs some values beyond it.
    let trust = (count * (1.0 - level) / (count * (1.0 - level) + 10.0)).clamp(0.0, 1.0);
    let share = (level * (1.0 + 1.0 / count.max(1.0))).min(1.0);
    let measured = robust::quantile_of_sorted(shapes, share).unwrap_or(theory);
    trust * measured + (1.0 - trust) * theory
}

/// How the variance of the error grows with the steps ahead: the mean of some models.
pub fn growth_of(models: &[Model], horizon: usize) -> Vec<f64> {
    let mut result = vec![0.0; horizon];
    for model in models {
        for (sum, g) in result.iter_mut().zip(model.core.growth(horizon)) {
            *sum += g / models.len() as f64;
        }
    }
    result
}

impl Forecast {
    /// Probability that the value `step` (from 1) is above a threshold; none where the interval is unknown.
    pub fn probability_above(&self, step: usize, threshold: f64) -> Option<f64> {
        let point = self.points.get(step.checked_sub(1)?)?;
        point.bounds?;
        if self.floor.is_some_and(|floor| threshold < floor) {
            return Some(1.0);
        }
        if self.cap.is_some_and(|cap| threshold >= cap) {
            return Some(0.0);
        }
        if self.is_multiplicative && threshold <= 0.0 {
            return Some(1.0);
        }
        let distance = if self.is_multiplicative {
            (threshold / point.value).ln()
        } else {
            threshold - point.value
        };
        if point.sigma <= 0.0 {
            return Some(f64::from(u8::from(distance < 0.0)));
        }
        let above = 0.5 * self.share_beyond((distance / point.sigma).abs());
        Some(if distance >= 0.0 { above } else { 1.0 - above })
    }

    /// Share of errors beyond so many standard deviations on either side.
    fn share_beyond(&self, z: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if width(&self.shapes, self.freedom, 1.0 - middle) > z {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    }

    /// Notes the shape of past errors, and returns their standard deviation one step ahead.
    pub(super) fn learn_errors(
        &mut self,
        split: &Split,
        forecasts: &[Vec<f64>],
        y: &[f64],
        growth: &[f64],
    ) -> f64 {
        let mut shapes = Vec::new();
        for (origin, row) in split.origins.iter().zip(forecasts) {
            for ((f, x), g) in row.iter().zip(y.iter().skip(*origin)).zip(growth) {
                if !x.is_nan() {
                    let error = if self.is_multiplicative {
                        (x.max(f64::MIN_POSITIVE) / f).ln()
                    } else {
                        x - f
                    };
                    shapes.push(error.abs() / g.sqrt());
                }
            }
        }
        let squares: f64 = shapes.iter().map(|z| z * z).sum();
        let sigma = if shapes.is_empty() {
            0.0
        } else {
            (squares / shapes.len() as f64).sqrt()
        };
        if sigma > 0.0 {
            for z in &mut shapes {
                *z /= sigma;
            }
        }
        shapes.sort_unstable_by(f64::total_cmp);
        // Where errors grow with the horizon they carry over from step to step, and overlapping horizons say much the
        // same; where they do not, each step is news.
        let room = y.len().saturating_sub(split.training) as f64;
        let seen: Vec<f64> = growth.iter().copied().take(split.compared).collect();
        let carried = (1.0 - 1.0 / robust::mean(&seen).max(1.0)).max(0.0);
        self.freedom = (room / (1.0 + carried * (split.compared as f64 - 1.0))).max(2.0);
        self.shapes = shapes;
        sigma
    }

    /// The points of the horizon.
    pub(super) fn draw(
        &mut self,
        models: &[Model],
        growth: &[f64],
        sigma: f64,
        end: usize,
        event: f64,
        options: &Options,
    ) {
        let width = width(&self.shapes, self.freedom, options.level);
        let count = models.len().max(1) as f64;
        let (floor, cap) = (self.floor, self.cap);
        let within = |x: f64| {
            let x = floor.map_or(x, |f| x.max(f));
            cap.map_or(x, |c| x.min(c))
        };
        let natural = |x: f64| if self.is_multiplicative { x.exp() } else { x };
        let mut sums = vec![(0.0, 0.0); options.horizon];
        for model in models {
            // The last season itself is level and season in one.
            let fixed = if let Core::Season { last, .. } = &model.core {
                Some(robust::mean(last))
            } else {
                None
            };
            let cores = model.core.path(options.horizon);
            for ((sum, core), value) in sums.iter_mut().zip(cores).zip(model.path(options.horizon))
            {
                sum.0 += natural(fixed.unwrap_or(core)) / count;
                sum.1 += natural(value) / count;
            }
        }
        for (h, (trend, value)) in (1..).zip(sums) {
            let is_event = options.events.contains(&(end + h - 1));
            let event = if is_event { event } else { 0.0 };
            let deviation = sigma
                * growth
                    .get(h - 1)
                    .or(growth.last())
                    .copied()
                    .unwrap_or(1.0)
                    .sqrt();
            let half = width * deviation;
            let bounds = if self.is_multiplicative {
                (value * (-half).exp() + event, value * half.exp() + event)
            } else {
                (value - half + event, value + half + event)
            };
            self.points.push(Point {
                value: within(value + event),
                bounds: Some((within(bounds.0), within(bounds.1))),
                trend,
                seasonal: value - trend,
                event,
                sigma: deviation,
            });
        }
    }

    /// With too few values to compare methods: the last one goes on, and errors grow as steps did.
    pub(super) fn short(&mut self, y: &[f64], options: &Options) {
        let there: Vec<f64> = y.iter().copied().filter(|x| !x.is_nan()).collect();
        let Some(last) = there.last().copied() else {
            return;
        };
        let steps: Vec<f64> = there
            .iter()
            .zip(there.iter().skip(1))
            .map(|(a, b)| b - a)
            .collect();
        let sigma = (steps.iter().map(|d| d * d).sum::<f64>() / steps.len().max(1) as f64).sqrt();
        self.freedom = (steps.len() as f64).max(1.0);
        self.shapes.clear();
        let width = width(&[], self.freedom, options.level);
        let (floor, cap) = (self.floor, self.cap);
        let within = |x: f64| {
            let x = floor.map_or(x, |f| x.max(f));
            cap.map_or(x, |c| x.min(c))
        };
        for h in 1..=options.horizon {
            let deviation = sigma * (h as f64).sqrt();
            let half = width * deviation;
            let bounds = (steps.len() >= 2).then(|| (within(last - half), within(last + half)));
            self.points.push(Point {
                value: within(last),
                bounds,
                trend: last,
                seasonal: 0.0,
                event: 0.0,
                sigma: deviation,
            });
        }
    }
}
