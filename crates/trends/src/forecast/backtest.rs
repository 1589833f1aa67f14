//! A forecast from earlier places, against what came.

use super::shape::seasonal_scale;
use super::{FEWEST, Options, forecast};
use crate::error::{Error, Watch};
use crate::series::Step;

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
