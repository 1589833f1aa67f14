//! Forecasts that choose their method by what would have worked.
//!
//! Every method is fitted to the first part of the series and then led through the rest: at each of several origins it is
//! asked for the horizon, and what it says is compared with what came (rolling origins). It never sees what it is asked
//! for. The best method, or the mean of the best three where that was better, is fitted to the whole series. The same
//! errors give the intervals: not what a model believes about itself, but how far off it was.

mod backtest;
mod fitting;
mod intervals;
mod models;
mod profile;
mod shape;
mod trials;

pub use self::backtest::{Backtest, backtest};
use self::fitting::fit;
use self::intervals::growth_of;
pub use self::models::Method;
use self::models::Model;
use self::profile::Profiles;
pub(crate) use self::shape::without_outliers;
use self::shape::{grows_with_level, is_intermittent, looks_like_counts, seasonal_scale};
use self::trials::{Split, choose, compare, mean_of};
use crate::error::{Error, Watch};
use crate::seasons;
use crate::series::Step;

/// Longest horizon, in steps.
pub const MOST_HORIZON: usize = 10_000;
/// Newest values that parameters are fitted to.
const NEWEST: usize = 1_500;
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
    /// What is known before methods are compared: nothing but the limits.
    fn naive(y: &[f64], periods: Vec<usize>, options: &Options) -> Self {
        Self {
            points: Vec::new(),
            methods: vec![Method::Naive],
            is_multiplicative: false,
            periods,
            accuracy: None,
            freedom: 1.0,
            shapes: Vec::new(),
            floor: options
                .floor
                .or_else(|| looks_like_counts(y).then_some(0.0))
                .filter(|f| f.is_finite()),
            cap: options.cap.filter(|c| c.is_finite()),
        }
    }

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
}

/// A series as the methods see it.
struct Prepared {
    /// The values; where an event was known, a gap.
    y: Vec<f64>,
    /// The same, with gaps instead of outliers.
    clean: Vec<f64>,
    /// The logarithms of these, where swings grow with the level.
    logs: Option<Vec<f64>>,
    periods: Vec<usize>,
    is_intermittent: bool,
}

impl Prepared {
    fn of(y: Vec<f64>, periods: Vec<usize>) -> Self {
        let is_intermittent = is_intermittent(&y);
        let clean = without_outliers(&y, &periods, is_intermittent);
        let logs =
            grows_with_level(&clean, &periods).then(|| clean.iter().map(|x| x.ln()).collect());
        Self {
            y,
            clean,
            logs,
            periods,
            is_intermittent,
        }
    }

    fn series(&self, is_log: bool) -> &[f64] {
        self.logs.as_ref().filter(|_| is_log).unwrap_or(&self.clean)
    }
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
    let y = without_events(values, &options.events);
    let count = y.iter().filter(|x| !x.is_nan()).count();
    let periods = match &options.periods {
        Some(periods) => periods.clone(),
        None => seasons::seasons(&y, step, watch)?
            .iter()
            .map(|s| s.period)
            .collect(),
    };
    watch.check()?;
    let mut answer = Forecast::naive(&y, periods.clone(), options);
    if count == 0 {
        return Ok(answer);
    }
    if count < FEWEST {
        answer.periods.clear();
        answer.short(&y, options);
        return Ok(answer);
    }

    let prepared = Prepared::of(y, periods);
    let split = Split::of(&prepared.y, options.horizon, &prepared.periods);
    let trials = compare(&prepared, &split, options.method, watch)?;
    let chosen = choose(&trials, &prepared, &split);
    if chosen.is_empty() {
        answer.short(&prepared.y, options);
        return Ok(answer);
    }
    let would_have_said = mean_of(&chosen);
    answer.methods = chosen.iter().map(|t| t.method).collect();
    answer.is_multiplicative = chosen.iter().all(|t| t.is_log);
    answer.accuracy = Some(accuracy(&would_have_said, &prepared, &split));

    watch.check()?;
    let models = fit_to_all(&answer, &prepared, &split, watch)?;
    let growth = growth_of(&models, options.horizon.max(split.compared));
    let sigma = answer.learn_errors(&split, &would_have_said, &prepared.y, &growth);
    let event = models.first().map_or(0.0, |model| {
        event_effect(values, &prepared, &answer, options, model, &split)
    });
    answer.draw(&models, &growth, sigma, prepared.y.len(), event, options);
    Ok(answer)
}

fn without_events(values: &[f64], events: &[usize]) -> Vec<f64> {
    let mut y = values.to_vec();
    for place in events {
        if let Some(x) = y.get_mut(*place) {
            *x = f64::NAN;
        }
    }
    y
}

fn accuracy(forecasts: &[Vec<f64>], prepared: &Prepared, split: &Split) -> Accuracy {
    let mae = split.loss(forecasts, &prepared.y, false);
    let scale = seasonal_scale(&prepared.y, &prepared.periods);
    Accuracy {
        mae,
        mase: if scale > 0.0 { mae / scale } else { f64::NAN },
    }
}

/// The chosen methods, fitted to the whole series and at its end.
fn fit_to_all(
    answer: &Forecast,
    prepared: &Prepared,
    split: &Split,
    watch: &dyn Watch,
) -> Result<Vec<Model>, Error> {
    let series = prepared.series(answer.is_multiplicative);
    let profiles = Profiles::learn(series, &prepared.periods);
    let mut models = Vec::new();
    for method in &answer.methods {
        watch.check()?;
        if let Some(mut model) = fit(*method, series, &profiles, NEWEST, split.ahead()) {
            for x in series {
                model.learn(*x);
            }
            models.push(model);
        }
    }
    Ok(models)
}

/// How much events have added so far: the mean error at their places, a little less with few of them.
fn event_effect(
    values: &[f64],
    prepared: &Prepared,
    answer: &Forecast,
    options: &Options,
    model: &Model,
    split: &Split,
) -> f64 {
    if options.events.is_empty() {
        return 0.0;
    }
    let series = prepared.series(answer.is_multiplicative);
    let Some(mut model) = fit(model.method, series, &model.profiles, NEWEST, split.ahead()) else {
        return 0.0;
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for ((actual, masked), x) in values.iter().zip(&prepared.y).zip(series) {
        if masked.is_nan() && !actual.is_nan() {
            let expected = model.expected();
            sum += actual
                - if answer.is_multiplicative {
                    expected.exp()
                } else {
                    expected
                };
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
