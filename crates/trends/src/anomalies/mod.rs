//! Anomalies of a whole series: several detectors behind one interface, and a default that chooses.
//!
//! | detector | expects | for |
//! |---|---|---|
//! | `streaming` | what [`crate::stream`] does: the recent past | long series without seasons |
//! | `seasonal` | the same, after the seasons of a robust decomposition were taken off | long series with seasons |
//! | `robust` | a smooth trend and seasons; far is what is far in robust standard deviations | short series |
//! | `level_shift` | the level before; only lasting changes count | changes that stay |
//!
//! A score means the same everywhere: 0.5 is expected once in 1,000 values that are as usual, 1 once in a million.

mod group;
mod outliers;

pub use self::group::{GroupVerdict, MOST_SERIES, detect_group};
pub use self::outliers::{Outlier, outliers};
use crate::changes::{self, change_points};
use crate::decompose::decompose;
use crate::distributions::{normal_above, student_above, student_quantile_above};
use crate::error::{Error, Watch};
use crate::forecast::without_outliers;
use crate::robust;
use crate::seasons;
use crate::series::Step;
use crate::stream::{Cause, Judgement, Stream, WARM_UP};

/// Fewest values that are judged.
pub const FEWEST: usize = 8;
/// From here on a series has enough past for the streaming detector.
const LONG: usize = 3 * WARM_UP;
/// Share of missing values from which gaps are usual.
const USUAL_GAPS: f64 = 0.05;
/// Share of the spread of a series below which nothing is unusual.
const NOISE: f64 = 0.01;

/// How anomalies are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detector {
    /// Chosen by length and seasons.
    Auto,
    /// By the recent past.
    Streaming,
    /// By the recent past without the seasons.
    Seasonal,
    /// By trend and seasons of the whole series.
    Robust,
    /// Lasting changes of the level.
    LevelShift,
}

impl Detector {
    /// All, with their names in SQL.
    pub const ALL: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("streaming", Self::Streaming),
        ("seasonal", Self::Seasonal),
        ("robust", Self::Robust),
        ("level_shift", Self::LevelShift),
    ];

    /// The detector of a name.
    ///
    /// # Errors
    /// An unknown name.
    pub fn of(name: &str) -> Result<Self, Error> {
        Self::ALL
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, d)| *d)
            .ok_or_else(|| {
                Error::option(
                    "method",
                    name,
                    "it is not a detector",
                    "Use one of auto, streaming, seasonal, robust, level_shift.",
                )
            })
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The detector.
    pub detector: Detector,
    /// 0 to 1, both excluded: a score of 1 less this is an anomaly.
    pub sensitivity: f64,
    /// Periods; none: found.
    pub periods: Option<Vec<usize>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            detector: Detector::Auto,
            sensitivity: 0.5,
            periods: None,
        }
    }
}

impl Options {
    fn limit(&self) -> Result<f64, Error> {
        if self.sensitivity > 0.0 && self.sensitivity < 1.0 {
            Ok(1.0 - self.sensitivity)
        } else {
            Err(Error::option(
                "sensitivity",
                self.sensitivity,
                "it is not between 0 and 1",
                "0.5 finds what is expected once in 1,000 values; more finds more.",
            ))
        }
    }
}

/// What kind of anomaly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A value by itself.
    Point,
    /// The first values of another level.
    LevelShift,
    /// Values swing more than they used to.
    Variance,
    /// A value that should be there.
    Missing,
}

impl Kind {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::LevelShift => "level_shift",
            Self::Variance => "variance",
            Self::Missing => "missing",
        }
    }
}

/// The verdict about one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Place in the series.
    pub place: usize,
    /// The value; NaN where it is missing.
    pub value: f64,
    /// What was expected; none when nothing was.
    pub expected: Option<f64>,
    /// Usual values are not below.
    pub lower: Option<f64>,
    /// Usual values are not above.
    pub upper: Option<f64>,
    /// 0 to 1; none where nothing could be said.
    pub score: Option<f64>,
    /// Whether the score reaches the limit.
    pub is_anomaly: bool,
    /// Whether the value is above what was expected.
    pub is_above: bool,
    /// What kind, if it is one.
    pub kind: Kind,
    /// How many values are missing from here on, for [`Kind::Missing`].
    pub missing: usize,
}

impl Verdict {
    /// `low` to `critical`; none for what is no anomaly.
    pub fn severity(&self, sensitivity: f64) -> Option<&'static str> {
        let score = self.score.filter(|_| self.is_anomaly)?;
        Some(severity(score, 1.0 - sensitivity))
    }

    /// Why, in words; none for what is no anomaly.
    pub fn reason(&self) -> Option<String> {
        if !self.is_anomaly {
            return None;
        }
        let side = if self.is_above { "above" } else { "below" };
        let expected = self.expected.map(short).unwrap_or_default();
        let rarity = 10_f64.powf(self.score.unwrap_or(0.0) * 6.0);
        let rarity = if rarity >= 1e6 {
            "less than once in 1000000 values".to_owned()
        } else {
            format!("once in {} values", short(rarity))
        };
        Some(match self.kind {
            Kind::Missing if self.missing == 1 => "a value is missing here".to_owned(),
            Kind::Missing => format!("{} values are missing from here", self.missing),
            Kind::Variance => {
                format!("values swing more than they used to; this is expected {rarity}")
            }
            Kind::LevelShift => format!(
                "the level has moved {side} {expected}, to values such as {}; this is expected {rarity}",
                short(self.value)
            ),
            Kind::Point => {
                let usual = match (self.lower, self.upper) {
                    (Some(l), Some(u)) => format!(" (usual: {} to {})", short(l), short(u)),
                    _ => String::new(),
                };
                format!(
                    "{} is {side} the expected {expected}{usual}; this is expected {rarity}",
                    short(self.value)
                )
            }
        })
    }
}

/// `low`, `medium`, `high` or `critical`: quarters of the way from the limit to 1.
pub fn severity(score: f64, limit: f64) -> &'static str {
    match (score - limit) / (1.0 - limit) {
        p if p >= 0.75 => "critical",
        p if p >= 0.5 => "high",
        p if p >= 0.25 => "medium",
        _ => "low",
    }
}

/// Four significant digits, as a person would write them.
fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let order = x.abs().log10().floor();
    if !(-5.0..15.0).contains(&order) {
        return format!("{x:.3e}");
    }
    let unit = 10_f64.powf(order - 3.0);
    let rounded = (x / unit).round() * unit;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 8
    let digits = (3.0 - order).clamp(0.0, 9.0) as usize;
    let text = format!("{rounded:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Judges every place of a series of equal steps, NaN for gaps, in order; of a run of missing values only the first.
///
/// # Errors
/// A sensitivity that is none, or interrupted.
pub fn detect(
    values: &[f64],
    step: Option<Step>,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Vec<Verdict>, Error> {
    let limit = options.limit()?;
    let count = values.iter().filter(|x| !x.is_nan()).count();
    let mut verdicts = unjudged(values);
    if count < FEWEST {
        return Ok(verdicts);
    }
    // What is usual is learned without single values that are impossibly far off: they would leak into their neighbours.
    let clean = without_outliers(values, &[], false);
    let periods = match &options.periods {
        Some(periods) => periods.clone(),
        None if options.detector == Detector::Streaming => Vec::new(),
        None => seasons::seasons(&clean, step, watch)?
            .iter()
            .map(|s| s.period)
            .collect(),
    };
    let parts = decompose(&clean, &periods, true, watch)?;
    let mut seasonal = vec![0.0; values.len()];
    for season in &parts.seasons {
        for (sum, s) in seasonal.iter_mut().zip(season) {
            *sum += s;
        }
    }
    let detector = match options.detector {
        Detector::Auto | Detector::Seasonal | Detector::Streaming if count < LONG => {
            Detector::Robust
        }
        Detector::Auto if parts.seasons.is_empty() => Detector::Streaming,
        Detector::Auto => Detector::Seasonal,
        other => other,
    };
    let flat: Vec<f64> = match detector {
        Detector::Streaming => {
            seasonal.fill(0.0);
            values.to_vec()
        }
        _ => values.iter().zip(&seasonal).map(|(x, s)| x - s).collect(),
    };
    let changes = if count >= 4 * changes::SHORTEST {
        change_points(&flat, 0.5, watch)?
    } else {
        Vec::new()
    };
    // What is left of a very regular series is rounding and what an anomaly leaks into its neighbours.
    let floor = if detector == Detector::Streaming {
        0.0
    } else {
        let there: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
        let center = robust::median(&mut there.clone()).unwrap_or(0.0);
        let largest = there.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        (NOISE * robust::sigma_about(&there, center)).max(1e-9 * largest)
    };
    match detector {
        Detector::LevelShift => by_changes(&flat, &changes, limit, &mut verdicts),
        Detector::Robust => {
            let remainder: Vec<f64> = flat.iter().zip(&parts.trend).map(|(x, t)| x - t).collect();
            by_distance(&parts.trend, &remainder, floor, limit, &mut verdicts);
        }
        _ => by_stream(&flat, floor, limit, watch, &mut verdicts)?,
    }
    for (verdict, season) in verdicts.iter_mut().zip(&seasonal) {
        for b in [
            &mut verdict.expected,
            &mut verdict.lower,
            &mut verdict.upper,
        ]
        .into_iter()
        .flatten()
        {
            *b += season;
        }
    }
    // What stays is a change of level, whichever detector saw it.
    for change in changes.iter().filter(|c| c.confidence > 0.999) {
        for verdict in verdicts
            .iter_mut()
            .take(change.at + 4)
            .skip(change.at.saturating_sub(2))
        {
            if verdict.kind == Kind::Point
                && change.kind == changes::Kind::Level
                && verdict.is_above == (change.after > change.before)
            {
                verdict.kind = Kind::LevelShift;
            }
        }
    }
    Ok(with_missing(verdicts, values, limit))
}

fn unjudged(values: &[f64]) -> Vec<Verdict> {
    values
        .iter()
        .enumerate()
        .map(|(place, value)| Verdict {
            place,
            value: *value,
            expected: None,
            lower: None,
            upper: None,
            score: None,
            is_anomaly: false,
            is_above: false,
            kind: Kind::Point,
            missing: 0,
        })
        .collect()
}

fn by_stream(
    flat: &[f64],
    floor: f64,
    limit: f64,
    watch: &dyn Watch,
    verdicts: &mut [Verdict],
) -> Result<(), Error> {
    let mut stream = Stream::with_floor(floor);
    for (i, (x, verdict)) in flat.iter().zip(verdicts.iter_mut()).enumerate() {
        if i % 4096 == 0 {
            watch.check()?;
        }
        if x.is_nan() {
            stream.skip();
        } else if let Some(judgement) = stream.judge(*x, limit) {
            verdict.take(&judgement, limit);
        }
    }
    // The first values have no past. They have a future.
    let mut seen = 0;
    let start = flat
        .iter()
        .position(|x| {
            seen += usize::from(!x.is_nan());
            seen == WARM_UP
        })
        .map_or(flat.len(), |i| i + 1);
    let mut backward = Stream::with_floor(floor);
    for (i, x) in flat
        .iter()
        .enumerate()
        .take(start + 20 * WARM_UP)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        if x.is_nan() {
            continue;
        }
        if let Some(judgement) = backward.judge(*x, limit)
            && i < start
            && let Some(verdict) = verdicts.get_mut(i)
        {
            verdict.take(&judgement, limit);
        }
    }
    Ok(())
}

impl Verdict {
    fn take(&mut self, judgement: &Judgement, limit: f64) {
        self.score = Some(judgement.score);
        self.is_anomaly = judgement.score >= limit;
        self.expected = judgement.expected;
        let x = match (judgement.lower, judgement.upper) {
            (Some(lower), Some(upper)) if !self.is_anomaly => {
                // Rarer than the limit, but not for the first time: usual by now.
                let flat = judgement.value;
                (Some(lower.min(flat)), Some(upper.max(flat)))
            }
            bounds => bounds,
        };
        (self.lower, self.upper) = x;
        self.is_above = judgement.is_above;
        self.kind = match judgement.cause {
            Cause::Value | Cause::Jump => Kind::Point,
            Cause::Level => Kind::LevelShift,
            Cause::Spread => Kind::Variance,
        };
    }
}

/// ln of a probability as a score: six decimal orders make 1.
fn score_of(p: f64) -> f64 {
    (-p.max(1e-300).log10() / 6.0).clamp(0.0, 1.0)
}

fn by_distance(trend: &[f64], remainder: &[f64], floor: f64, limit: f64, verdicts: &mut [Verdict]) {
    let there: Vec<f64> = remainder.iter().copied().filter(|r| !r.is_nan()).collect();
    let center = robust::median(&mut there.clone()).unwrap_or(0.0);
    let sigma = robust::sigma_about(&there, center).max(floor);
    // A scale of few values is uncertain, and a smooth curve has taken some of the freedom.
    let freedom = (there.len() as f64 / 3.0).clamp(2.0, 30.0);
    let least = trend.iter().fold(0.0_f64, |m, t| m.max(t.abs())) * 1e-9;
    if sigma <= least {
        for verdict in verdicts.iter_mut().filter(|v| !v.value.is_nan()) {
            verdict.score = Some(0.0);
        }
        return;
    }
    let half = sigma * student_quantile_above(0.5 * 10_f64.powf(-6.0 * limit), freedom);
    for ((verdict, t), r) in verdicts.iter_mut().zip(trend).zip(remainder) {
        if r.is_nan() {
            continue;
        }
        let distance = r - center;
        let score = score_of(2.0 * student_above((distance / sigma).abs(), freedom));
        verdict.score = Some(score);
        verdict.is_anomaly = score >= limit;
        verdict.expected = Some(t + center);
        verdict.lower = Some(t + center - half);
        verdict.upper = Some(t + center + half);
        verdict.is_above = distance > 0.0;
    }
}

fn by_changes(flat: &[f64], changes: &[changes::Change], limit: f64, verdicts: &mut [Verdict]) {
    let levels: Vec<&changes::Change> = changes
        .iter()
        .filter(|c| c.kind == changes::Kind::Level)
        .collect();
    let all: Vec<f64> = flat.iter().copied().filter(|x| !x.is_nan()).collect();
    let mut level = levels
        .first()
        .map_or_else(|| robust::mean(&all), |c| c.before);
    let mut next = levels.iter().peekable();
    for (i, verdict) in verdicts.iter_mut().enumerate() {
        if verdict.value.is_nan() {
            continue;
        }
        verdict.score = Some(0.0);
        verdict.expected = Some(level);
        if let Some(change) = next.peek().filter(|c| c.at <= i) {
            let score = score_of(2.0 * normal_above(change.strength));
            verdict.score = Some(score);
            verdict.is_anomaly = score >= limit;
            verdict.is_above = change.after > change.before;
            verdict.kind = Kind::LevelShift;
            level = change.after;
            next.next();
        }
    }
}

/// Keeps the first of each run of missing values, as an anomaly where gaps are rare.
fn with_missing(verdicts: Vec<Verdict>, values: &[f64], limit: f64) -> Vec<Verdict> {
    let missing = values.iter().filter(|x| x.is_nan()).count();
    let share = missing as f64 / values.len().max(1) as f64;
    let is_rare = share < USUAL_GAPS && values.len() >= 20;
    let mut result: Vec<Verdict> = Vec::with_capacity(verdicts.len());
    for verdict in verdicts {
        if !verdict.value.is_nan() {
            result.push(verdict);
            continue;
        }
        match result.last_mut() {
            Some(last)
                if last.kind == Kind::Missing && last.place + last.missing == verdict.place =>
            {
                last.missing += 1;
            }
            _ => {
                let score = is_rare.then_some(0.5 + 0.25 * (1.0 - share / USUAL_GAPS));
                result.push(Verdict {
                    kind: Kind::Missing,
                    missing: 1,
                    score,
                    is_anomaly: score.is_some_and(|s| s >= limit),
                    ..verdict
                });
            }
        }
    }
    result
}
