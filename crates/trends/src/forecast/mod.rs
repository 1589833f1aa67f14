//! Forecasts that choose their method by what would have worked.
//!
//! Every method is fitted to the first part of the series and then led through the rest: at each of several origins it is
//! asked for the horizon, and what it says is compared with what came (rolling origins). It never sees what it is asked
//! for. The best method, or the mean of the best three where that was better, is fitted to the whole series. The same
//! errors give the intervals: not what a model believes about itself, but how far off it was.

mod models;
mod profile;

use crate::distributions::student_quantile_above;
use crate::error::{Error, Watch};
use crate::robust;
use crate::seasons;
use crate::series::Step;
pub use models::Method;
use models::{Model, fit};
use profile::Profiles;

/// Longest horizon, in steps.
pub const MOST_HORIZON: usize = 10_000;
/// Newest values that parameters are fitted to.
const NEWEST: usize = 1_500;
/// Origins at which methods are compared.
const MOST_ORIGINS: usize = 40;
/// Steps ahead that are compared: longer horizons follow from how errors grow.
const MOST_COMPARED: usize = 400;
/// Methods that are combined.
const COMBINED: usize = 3;
/// Fewest values that are compared at all.
const FEWEST: usize = 8;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Steps ahead.
    pub horizon: usize,
    /// Share of future values inside the interval.
    pub level: f64,
    /// Only this method; none: the best.
    pub method: Option<Method>,
    /// Periods; none: found.
    pub periods: Option<Vec<usize>>,
    /// Nothing is below.
    pub floor: Option<f64>,
    /// Nothing is above.
    pub cap: Option<f64>,
    /// Places of known events, past and future.
    pub events: Vec<usize>,
}

impl Options {
    /// The defaults for a horizon.
    pub fn new(horizon: usize) -> Self {
        Self {
            horizon,
            level: 0.95,
            method: None,
            periods: None,
            floor: None,
            cap: None,
            events: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.horizon == 0 || self.horizon > MOST_HORIZON {
            return Err(Error::option(
                "horizon",
                self.horizon,
                "it is not a number of steps",
                format!("Ask for 1 to {MOST_HORIZON} steps; use larger buckets to see further."),
            ));
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(Error::option(
                "level",
                self.level,
                "it is not a share between 0 and 1",
                "Give the share of future values that the interval should hold, such as 0.95.",
            ));
        }
        if let (Some(floor), Some(cap)) = (self.floor, self.cap)
            && floor >= cap
        {
            return Err(Error::option(
                "floor",
                floor,
                "it is not below the cap",
                "Give a floor below the cap.",
            ));
        }
        Ok(())
    }
}

/// One future place.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What is expected.
    pub value: f64,
    /// Interval; none when there were too few values to know how wide.
    pub bounds: Option<(f64, f64)>,
    /// Part of the value that is level and trend.
    pub trend: f64,
    /// Parts of the seasons together.
    pub seasonal: f64,
    /// Part of a known event.
    pub event: f64,
    /// Standard deviation of the error, on the scale of the model.
    pub sigma: f64,
}

/// How good the forecast would have been at the rolling origins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Mean absolute error.
    pub mae: f64,
    /// The same, in units of what the last season would have been off inside the series.
    pub mase: f64,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The horizon.
    pub points: Vec<Point>,
    /// The methods that were chosen, equally weighted.
    pub methods: Vec<Method>,
    /// Whether the logarithm was modelled: seasons that grow with the level.
    pub is_multiplicative: bool,
    /// The periods that were used.
    pub periods: Vec<usize>,
    /// How good it would have been; none with too few values.
    pub accuracy: Option<Accuracy>,
    /// Degrees of freedom of the errors' scale.
    freedom: f64,
    /// Sizes of past errors over their standard deviation, sorted.
    shapes: Vec<f64>,
    floor: Option<f64>,
    cap: Option<f64>,
}

impl Forecast {
    /// Names of the methods, such as `smoothing + theta`.
    pub fn method_name(&self) -> String {
        let names: Vec<&str> = self.methods.iter().map(|m| m.name()).collect();
        let names = names.join(" + ");
        if self.is_multiplicative {
            format!("log({names})")
        } else {
            names
        }
    }

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
}

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

/// One method at the rolling origins.
struct Trial {
    method: Method,
    is_log: bool,
    /// By origin, then step.
    forecasts: Vec<Vec<f64>>,
    loss: f64,
}

/// Forecasts values of equal steps, NaN for gaps. Empty for a series without values.
///
/// # Errors
/// A horizon or level that is none, or interrupted.
pub fn forecast(
    values: &[f64],
    step: Option<Step>,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Forecast, Error> {
    options.check()?;
    let mut y = values.to_vec();
    for place in &options.events {
        if let Some(x) = y.get_mut(*place) {
            *x = f64::NAN;
        }
    }
    let count = y.iter().filter(|x| !x.is_nan()).count();
    let periods = match &options.periods {
        Some(periods) => periods.clone(),
        None => seasons::seasons(&y, step, watch)?
            .iter()
            .map(|s| s.period)
            .collect(),
    };
    watch.check()?;
    let floor = options
        .floor
        .or_else(|| looks_like_counts(&y).then_some(0.0))
        .filter(|f| f.is_finite());
    let cap = options.cap.filter(|c| c.is_finite());
    let mut answer = Forecast {
        points: Vec::new(),
        methods: vec![Method::Naive],
        is_multiplicative: false,
        periods: periods.clone(),
        accuracy: None,
        freedom: 1.0,
        shapes: Vec::new(),
        floor,
        cap,
    };
    if count == 0 {
        return Ok(answer);
    }
    if count < FEWEST {
        answer.periods.clear();
        answer.short(&y, options);
        return Ok(answer);
    }

    let is_intermittent = is_intermittent(&y);
    let clean = without_outliers(&y, &periods, is_intermittent);
    let logs = grows_with_level(&clean, &periods)
        .then(|| clean.iter().map(|x| x.ln()).collect::<Vec<f64>>());
    let split = Split::of(&y, options.horizon, &periods);
    let mut trials = Vec::new();
    let methods: &[Method] = options
        .method
        .as_ref()
        .map_or(&Method::ALL, std::slice::from_ref);
    for (series, is_log) in [(Some(&clean), false), (logs.as_ref(), true)] {
        let Some(series) = series else { continue };
        let Some(training) = series.get(..split.training) else {
            continue;
        };
        let profiles = Profiles::learn(training, &periods);
        for method in methods {
            watch.check()?;
            if *method == Method::Intermittent
                && (is_log || !(is_intermittent || options.method.is_some()))
            {
                continue;
            }
            if let Some(model) = fit(*method, training, &profiles, NEWEST, split.ahead()) {
                trials.push(split.run(model, series, &y, is_log, is_intermittent));
            }
        }
    }
    trials.retain(|t| t.loss.is_finite());
    trials.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    let Some(best) = trials.first() else {
        answer.short(&y, options);
        return Ok(answer);
    };
    // The best by itself, or the mean of the best few: methods that err differently correct each other.
    let is_log = best.is_log;
    let alike: Vec<&Trial> = trials
        .iter()
        .filter(|t| t.is_log == is_log)
        .take(COMBINED)
        .collect();
    let mut chosen: Vec<&Trial> = vec![best];
    if alike.len() > 1 && split.loss(&mean_of(&alike), &y, is_intermittent) <= best.loss * 1.02 {
        chosen = alike;
    }
    let errors_forecasts = mean_of(&chosen);
    answer.methods = chosen.iter().map(|t| t.method).collect();
    answer.is_multiplicative = is_log;
    let mae = split.loss(&errors_forecasts, &y, false);
    let scale = seasonal_scale(&y, &periods);
    answer.accuracy = Some(Accuracy {
        mae,
        mase: if scale > 0.0 { mae / scale } else { f64::NAN },
    });

    let series = if is_log {
        logs.as_ref().unwrap_or(&clean)
    } else {
        &clean
    };
    watch.check()?;
    let profiles = Profiles::learn(series, &periods);
    let mut models = Vec::new();
    for trial in &chosen {
        watch.check()?;
        if let Some(mut model) = fit(trial.method, series, &profiles, NEWEST, split.ahead()) {
            for x in series {
                model.learn(*x);
            }
            models.push(model);
        }
    }
    let growth = growth_of(&models, options.horizon.max(split.compared));
    answer.learn_errors(&split, &errors_forecasts, &y, &growth, is_log);
    let sigma = answer.points.first().map_or(0.0, |p| p.sigma);
    answer.points.clear();
    let event = event_effect(
        values,
        &y,
        series,
        &options.events,
        models.first().zip(Some(&split)),
        is_log,
    );
    answer.draw(&models, &growth, sigma, y.len(), event, options);
    Ok(answer)
}

/// Whole numbers, none below zero: how often something happened.
fn looks_like_counts(values: &[f64]) -> bool {
    values
        .iter()
        .all(|x| x.is_nan() || (*x >= 0.0 && x.fract() == 0.0))
}

/// More than a third of the values are zero and none is below.
fn is_intermittent(values: &[f64]) -> bool {
    let there = values.iter().filter(|x| !x.is_nan());
    let (zeros, all) = there.fold((0_usize, 0_usize), |(z, n), x| {
        (z + usize::from(*x == 0.0), n + 1)
    });
    zeros * 3 > all && zeros < all && !values.iter().any(|x| *x < 0.0)
}

/// Single values that are impossibly far from their neighbours are gaps, so that they do not bend everything that comes.
pub(crate) fn without_outliers(
    values: &[f64],
    periods: &[usize],
    is_intermittent: bool,
) -> Vec<f64> {
    if is_intermittent {
        return values.to_vec();
    }
    let profiles = Profiles::learn(values, periods);
    let mut flat = vec![0.0; values.len()];
    profiles.add_to(&mut flat);
    for (slot, x) in flat.iter_mut().zip(values) {
        *slot = x - *slot;
    }
    let rests: Vec<f64> = (0..flat.len())
        .map(|i| {
            let near = flat
                .get(i.saturating_sub(2)..(i + 3).min(flat.len()))
                .unwrap_or_default();
            let mut five = [0.0; 5];
            let mut n = 0;
            for (slot, x) in five.iter_mut().zip(near.iter().filter(|x| !x.is_nan())) {
                *slot = *x;
                n += 1;
            }
            let center = five.get_mut(..n).and_then(robust::median).unwrap_or(0.0);
            flat.get(i).map_or(0.0, |x| x - center)
        })
        .collect();
    let there: Vec<f64> = rests.iter().copied().filter(|x| !x.is_nan()).collect();
    let sigma = robust::sigma_about(&there, 0.0);
    let far = there.iter().filter(|r| r.abs() > 8.0 * sigma).count();
    if sigma <= 0.0 || far * 50 > there.len() {
        return values.to_vec();
    }
    values
        .iter()
        .zip(&rests)
        .map(|(x, r)| if r.abs() > 8.0 * sigma { f64::NAN } else { *x })
        .collect()
}

/// Whether the size of the swings follows the level, in a series of positive values whose level changes much.
fn grows_with_level(values: &[f64], periods: &[usize]) -> bool {
    if values.iter().any(|x| *x <= 0.0) {
        return false;
    }
    let width = periods
        .iter()
        .copied()
        .max()
        .unwrap_or(values.len() / 8)
        .max(4);
    let mut windows: Vec<(f64, f64)> = Vec::new();
    for chunk in values.rchunks_exact(width) {
        let there: Vec<f64> = chunk.iter().copied().filter(|x| !x.is_nan()).collect();
        if there.len() * 2 > width {
            let center = robust::mean(&there);
            let spread = (there.iter().map(|x| (x - center).powi(2)).sum::<f64>()
                / there.len() as f64)
                .sqrt();
            windows.push((center, spread));
        }
    }
    if windows.len() < 4 {
        return false;
    }
    let (low, high) = windows.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), w| {
        (l.min(w.0), h.max(w.0))
    });
    let n = windows.len() as f64;
    let mean = windows
        .iter()
        .fold((0.0, 0.0), |s, w| (s.0 + w.0 / n, s.1 + w.1 / n));
    let (mut a, mut b, mut ab) = (0.0, 0.0, 0.0);
    for (center, spread) in &windows {
        a += (center - mean.0).powi(2);
        b += (spread - mean.1).powi(2);
        ab += (center - mean.0) * (spread - mean.1);
    }
    high > 1.5 * low && a > 0.0 && b > 0.0 && ab / (a * b).sqrt() > 0.6
}

/// Mean absolute difference from one season (or step) to the next.
pub fn seasonal_scale(values: &[f64], periods: &[usize]) -> f64 {
    let lag = periods.iter().copied().min().unwrap_or(1);
    let (mut sum, mut count) = (0.0, 0.0);
    for (a, b) in values.iter().zip(values.iter().skip(lag)) {
        if !a.is_nan() && !b.is_nan() {
            sum += (b - a).abs();
            count += 1.0;
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

fn mean_of(trials: &[&Trial]) -> Vec<Vec<f64>> {
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

fn growth_of(models: &[Model], horizon: usize) -> Vec<f64> {
    let mut result = vec![0.0; horizon];
    for model in models {
        for (sum, g) in result.iter_mut().zip(model.core.growth(horizon)) {
            *sum += g / models.len() as f64;
        }
    }
    result
}

/// Which part of a series methods learn from before they are asked, and where.
struct Split {
    training: usize,
    origins: Vec<usize>,
    compared: usize,
}

impl Split {
    fn of(values: &[f64], horizon: usize, periods: &[usize]) -> Self {
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
    fn ahead(&self) -> usize {
        self.compared.div_ceil(2).max(1)
    }

    fn run(
        &self,
        mut model: Model,
        series: &[f64],
        y: &[f64],
        is_log: bool,
        is_intermittent: bool,
    ) -> Trial {
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
        let loss = self.loss(&forecasts, y, is_intermittent);
        Trial {
            method,
            is_log,
            forecasts,
            loss,
        }
    }

    /// Mean absolute error; of series that are mostly zero the root of the mean square, because zero itself has the least
    /// absolute error and says nothing.
    fn loss(&self, forecasts: &[Vec<f64>], y: &[f64], is_square: bool) -> f64 {
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

/// How much events have added so far: the mean error at their places, a little less with few of them.
fn event_effect(
    values: &[f64],
    y: &[f64],
    series: &[f64],
    events: &[usize],
    model: Option<(&Model, &Split)>,
    is_log: bool,
) -> f64 {
    let Some((model, split)) = model.filter(|_| !events.is_empty()) else {
        return 0.0;
    };
    let Some(mut model) = fit(model.method, series, &model.profiles, NEWEST, split.ahead()) else {
        return 0.0;
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for ((actual, masked), x) in values.iter().zip(y).zip(series) {
        if masked.is_nan() && !actual.is_nan() {
            let expected = model.expected();
            sum += actual - if is_log { expected.exp() } else { expected };
            count += 1.0;
        }
        model.learn(*x);
    }
    if count > 0.0 {
        sum / (count + 0.3)
    } else {
        0.0
    }
}

impl Forecast {
    /// The scale and the shape of past errors. Puts the scale into the first point, for want of a better place.
    fn learn_errors(
        &mut self,
        split: &Split,
        forecasts: &[Vec<f64>],
        y: &[f64],
        growth: &[f64],
        is_log: bool,
    ) {
        let mut shapes = Vec::new();
        for (origin, row) in split.origins.iter().zip(forecasts) {
            for ((f, x), g) in row.iter().zip(y.iter().skip(*origin)).zip(growth) {
                if !x.is_nan() {
                    let error = if is_log {
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
        self.points.push(Point {
            value: 0.0,
            bounds: None,
            trend: 0.0,
            seasonal: 0.0,
            event: 0.0,
            sigma,
        });
    }

    fn draw(
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
            let fixed = if let models::Core::Season { last, .. } = &model.core {
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
    fn short(&mut self, y: &[f64], options: &Options) {
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

/// What a forecast would have said at one origin.
#[derive(Clone, Debug)]
pub struct Backtest {
    /// First place that was forecast.
    pub origin: usize,
    /// Places compared.
    pub compared: usize,
    /// Mean of 200 |y - f| / (|y| + |f|), in percent.
    pub smape: f64,
    /// Mean absolute error over that of the last season inside what was known.
    pub mase: f64,
    /// Share of values inside the interval.
    pub coverage: f64,
    /// What was chosen there.
    pub method: String,
}

/// Forecasts again from several earlier origins, each time with all choices made anew and nothing of what came.
///
/// # Errors
/// As [`forecast`]; a number of origins that is none.
pub fn backtest(
    values: &[f64],
    step: Option<Step>,
    options: &Options,
    origins: usize,
    watch: &dyn Watch,
) -> Result<Vec<Backtest>, Error> {
    options.check()?;
    if origins == 0 || origins > 100 {
        return Err(Error::option(
            "origins",
            origins,
            "it is not a number of origins",
            "Ask for 1 to 100 origins.",
        ));
    }
    let n = values.len();
    let mut results = Vec::new();
    for k in (1..=origins).rev() {
        let Some(origin) = n.checked_sub(k * options.horizon).filter(|o| *o >= FEWEST) else {
            continue;
        };
        let (Some(known), Some(future)) = (values.get(..origin), values.get(origin..)) else {
            continue;
        };
        let answer = forecast(known, step, options, watch)?;
        let (mut smape, mut error, mut inside, mut count) = (0.0, 0.0, 0.0, 0.0);
        for (point, x) in answer.points.iter().zip(future) {
            if x.is_nan() {
                continue;
            }
            let size = x.abs() + point.value.abs();
            if size > 0.0 {
                smape += 200.0 * (x - point.value).abs() / size;
            }
            error += (x - point.value).abs();
            inside += f64::from(u8::from(
                point.bounds.is_some_and(|(l, u)| l <= *x && *x <= u),
            ));
            count += 1.0;
        }
        if count > 0.0 {
            let scale = seasonal_scale(known, &answer.periods);
            results.push(Backtest {
                origin,
                compared: future.len().min(options.horizon),
                smape: smape / count,
                mase: if scale > 0.0 {
                    error / count / scale
                } else {
                    f64::NAN
                },
                coverage: inside / count,
                method: answer.method_name(),
            });
        }
    }
    Ok(results)
}
