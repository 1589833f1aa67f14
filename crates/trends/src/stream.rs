//! A detector for a stream: one pass, constant memory, and nothing but the past.
//!
//! A value is compared with a slow level (is it extreme?), with a fast one (is it a jump?), and a short mean with the
//! slow level (has the level moved?); the size of the last jumps with their usual size (has it become restless?). Each
//! comparison has tails of its own, and each tail is modelled as extreme value theory says that tails look: beyond a high
//! threshold, as a generalized Pareto distribution, whose two parameters follow from the mean and the variance of the
//! excesses. So the answer is a probability and means the same on every series, whatever its unit and shape.
//!
//! What has happened before is no surprise: a tail remembers its last events, and while an equal one is remembered the
//! probability is at least what that says about its rate.

/// Values that are seen before one is judged.
pub const WARM_UP: usize = 32;

/// Largest magnitude that is a measurement: the square of anything larger is not a double.
pub const LARGEST: f64 = 1e150;

/// Longest season of a stream, in values: a week of minutes.
pub const LONGEST_PERIOD: usize = 10_080;

/// `score` of a value whose probability is one in a thousand: the default limit.
pub const DEFAULT_LIMIT: f64 = 0.5;

/// Decimal orders of rarity that make a score of 1: a value that is expected once in a million.
const ORDERS: f64 = 6.0;

/// Share of values beyond a tail's threshold.
const EXCEEDING: f64 = 0.05;
/// Excesses that a tail's parameters remember.
const MOST_PEAKS: f64 = 60.0;
/// Values over which slow levels and scales are averaged.
const SLOW: f64 = 500.0;
const MEDIUM: f64 = 24.0;
const FAST: f64 = 0.3;
/// Heaviest tail: with 0.5 its variance would be infinite, and the estimate void.
const HEAVIEST: f64 = 0.45;
/// An anomaly teaches the parameters of its tail no more than a value of this probability (as -ln p) would.
const CAP: f64 = 9.2;
/// Wild values in a row that are not believed.
const PATIENCE: u32 = 3;
/// Values after which an event is another one.
const SAME_EVENT: u64 = 12;
/// Values for which an event is remembered.
const MEMORY: u64 = 4_000;
const EVENTS: usize = 8;
/// ln of the probability from which an excess is an event to remember.
const RARE: f64 = -6.9;
/// How many times a season must have been seen before it is believed.
const SEASONS_SEEN: u32 = 3;
/// Weight of the newest value in a season's profile.
const SEASON_GAIN: f64 = 0.25;

/// Lower 10 % bound of the mean of a Poisson distribution, by the count that was seen.
const POISSON_LOWER: [f64; EVENTS + 1] =
    [0.0, 0.105, 0.532, 1.102, 1.745, 2.433, 3.152, 3.895, 4.656];

/// What was compared when a value stood out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The value itself, with the level of the last hundreds.
    Value,
    /// The value, with the few before it.
    Jump,
    /// The mean of some two dozen values, with the level of the last hundreds.
    Level,
    /// The size of the last jumps, with their usual size.
    Spread,
}

/// The verdict about one value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Judgement {
    /// 0 to 1, see [`score`].
    pub score: f64,
    /// The value that was judged.
    pub value: f64,
    /// What was expected before the value came; none while warming up.
    pub expected: Option<f64>,
    /// Least value that would not be an anomaly.
    pub lower: Option<f64>,
    /// Greatest value that would not be an anomaly.
    pub upper: Option<f64>,
    /// What stood out most.
    pub cause: Cause,
    /// Whether it stood out upwards.
    pub is_above: bool,
}

/// The score of a probability: its negative decimal logarithm, where 6 orders make 1.
fn score(log_p: f64) -> f64 {
    // The sum makes zero of negative zero.
    (-log_p / std::f64::consts::LN_10 / ORDERS).clamp(0.0, 1.0) + 0.0
}

/// ln of the probability that has this score.
fn log_of(score: f64) -> f64 {
    -score * ORDERS * std::f64::consts::LN_10
}

#[derive(Clone, Copy, Default, Debug)]
struct Event {
    excess: f64,
    last: u64,
}

#[derive(Clone, Copy, Default, Debug)]
struct Tail {
    threshold: f64,
    seen: f64,
    peaks: f64,
    sum: f64,
    squares: f64,
    events: [Event; EVENTS],
}

impl Tail {
    /// From the first values, sorted: the threshold is their ninth decile.
    fn start(sorted: &[f64]) -> Self {
        let above = sorted.len() / 10;
        let (below, above) = sorted.split_at(sorted.len().saturating_sub(above));
        let threshold = below.last().copied().unwrap_or(0.0);
        let mut tail = Self {
            threshold,
            seen: sorted.len() as f64,
            ..Self::default()
        };
        for x in above {
            tail.add(x - threshold);
        }
        tail
    }

    fn add(&mut self, excess: f64) {
        if self.peaks >= MOST_PEAKS {
            let keep = 1.0 - 1.0 / MOST_PEAKS;
            self.peaks *= keep;
            self.sum *= keep;
            self.squares *= keep;
        }
        self.peaks += 1.0;
        self.sum += excess;
        self.squares += excess * excess;
    }

    /// Shape and scale of the Pareto distribution, by the method of moments.
    fn parameters(&self) -> (f64, f64) {
        let mean = self.sum / self.peaks;
        let spread =
            (self.squares / self.peaks - mean * mean) * self.peaks / (self.peaks - 1.0).max(1.0);
        if spread <= 0.0 {
            return (0.0, mean);
        }
        let shape = (0.5 * (1.0 - mean * mean / spread)).clamp(0.0, HEAVIEST);
        (shape, mean * (1.0 - shape))
    }

    /// The excess that is exceeded with a probability of `exp(log_p)` among the excesses.
    fn quantile(shape: f64, scale: f64, log_p: f64) -> f64 {
        if shape < 1e-6 {
            -log_p * scale
        } else {
            scale / shape * ((-log_p * shape).exp() - 1.0)
        }
    }

    /// The statistic whose probability is `exp(log_p)`; none when nothing is known about the tail.
    fn bound(&self, log_p: f64, least_scale: f64) -> Option<f64> {
        if self.peaks < 1.0 {
            return None;
        }
        let (shape, scale) = self.parameters();
        let beyond = (log_p - EXCEEDING.ln()).min(0.0);
        Some(self.threshold + Self::quantile(shape, scale.max(least_scale), beyond))
    }

    /// ln of the probability of a value as large as `x`; then learns from it.
    fn judge(&mut self, x: f64, spread: f64, floor: f64, now: u64) -> f64 {
        let mut log_p = 0.0;
        let excess = x - self.threshold;
        if excess > 0.0 {
            if self.peaks >= 1.0 {
                let (shape, scale) = self.parameters();
                let scale = scale.max(LEAST_SCALE * spread).max(floor);
                let beyond = excess / scale;
                log_p = EXCEEDING.ln()
                    - if shape < 1e-6 {
                        beyond
                    } else {
                        (shape * beyond).ln_1p() / shape
                    };
                if log_p < RARE {
                    log_p = log_p.max(self.recurrence(excess, now));
                    self.remember(excess, now);
                }
                let most = Self::quantile(shape, scale, -CAP);
                self.add(if self.peaks < 4.0 || scale <= 0.0 {
                    excess
                } else {
                    excess.min(most)
                });
            } else {
                self.add(excess);
            }
        }
        self.seen += 1.0;
        // A quantile by stochastic approximation: in balance when the share beyond it is EXCEEDING.
        let step = spread * (1.0 / self.seen).max(0.02);
        self.threshold += if excess > 0.0 {
            step * (1.0 - EXCEEDING)
        } else {
            -step * EXCEEDING
        };
        log_p
    }

    /// ln of the least rate, with 90 % confidence, of events like this one among the remembered values.
    fn recurrence(&self, excess: f64, now: u64) -> f64 {
        let alike = self
            .events
            .iter()
            .filter(|event| {
                let age = now - event.last;
                event.last > 0 && age > SAME_EVENT && age < MEMORY && event.excess >= 0.8 * excess
            })
            .count();
        let rate = POISSON_LOWER.get(alike).copied().unwrap_or(0.0) / now.min(MEMORY) as f64;
        rate.ln()
    }

    fn remember(&mut self, excess: f64, now: u64) {
        if let Some(event) = self
            .events
            .iter_mut()
            .find(|event| event.last > 0 && now - event.last <= SAME_EVENT)
        {
            event.last = now;
            event.excess = event.excess.max(excess);
        } else if let Some(oldest) = self.events.iter_mut().min_by_key(|event| event.last) {
            *oldest = Event { excess, last: now };
        }
    }
}

/// A tail is at least this share of its series' spread wide: repeated values have tails of no width.
const LEAST_SCALE: f64 = 0.05;

/// Number of tails: three comparisons in two directions, and restlessness.
const TAILS: usize = 7;
/// Comparisons that a probability is the least of: seven, but they overlap. Measured on noise of many kinds.
const COMPARISONS: f64 = 2.5;

/// A season's profile: by the place in the season, how far values are from the level.
#[derive(Clone, Debug, Default)]
struct Season {
    profile: Vec<(f64, u32)>,
    at: usize,
}

impl Season {
    fn expected(&self) -> f64 {
        match self.profile.get(self.at) {
            Some((offset, seen)) if *seen >= SEASONS_SEEN => *offset,
            _ => 0.0,
        }
    }

    fn learn(&mut self, offset: f64, most: f64) {
        if let Some((mean, seen)) = self.profile.get_mut(self.at) {
            *seen = seen.saturating_add(1);
            let change = offset - *mean;
            let gain = SEASON_GAIN.max(1.0 / f64::from(*seen));
            // The first seasons are taken as they are; later ones cannot be moved far by one anomaly.
            *mean += gain
                * if *seen > SEASONS_SEEN {
                    change.clamp(-most, most)
                } else {
                    change
                };
        }
    }

    fn advance(&mut self) {
        if !self.profile.is_empty() {
            self.at = (self.at + 1) % self.profile.len();
        }
    }
}

/// The detector of one series.
#[derive(Clone, Debug)]
pub struct Stream {
    early: [f64; WARM_UP],
    seen: u64,
    slow: f64,
    medium: f64,
    fast: f64,
    spread: f64,
    jump: f64,
    recent_jump: f64,
    doubts: u32,
    floor: f64,
    tails: [Tail; TAILS],
    season: Season,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            early: [0.0; WARM_UP],
            seen: 0,
            slow: 0.0,
            medium: 0.0,
            fast: 0.0,
            spread: 0.0,
            jump: 0.0,
            recent_jump: 0.0,
            doubts: 0,
            floor: 0.0,
            tails: [Tail::default(); TAILS],
            season: Season::default(),
        }
    }
}

impl Stream {
    /// A detector that knows of no season.
    pub fn new() -> Self {
        Self::default()
    }

    /// A detector of a series that repeats every `period` values; fewer than 2 are no season, and more than
    /// [`LONGEST_PERIOD`] are not kept.
    pub fn with_period(period: usize) -> Self {
        let mut stream = Self::default();
        if (2..=LONGEST_PERIOD).contains(&period) {
            stream.season.profile = vec![(0.0, 0); period];
        }
        stream
    }

    /// A detector for which differences of this size are noise, however regular the series is: what is left of a
    /// series after its seasons may be nothing but rounding.
    pub fn with_floor(floor: f64) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// Judges a value, then learns from it. None for what is no measurement (NaN, infinities, magnitudes above
    /// [`LARGEST`]), which only takes its place in the season.
    pub fn push(&mut self, x: f64) -> Option<f64> {
        self.take(x, |_| ()).map(|(log_p, ..)| score(log_p))
    }

    /// As [`push`](Self::push), with the bounds outside of which the score would reach `limit`.
    pub fn judge(&mut self, x: f64, limit: f64) -> Option<Judgement> {
        let log_limit = log_of(limit) - COMPARISONS.ln();
        let (log_p, index, bounds) = self.take(x, |stream| stream.bounds(log_limit))?;
        let causes = [
            Cause::Value,
            Cause::Value,
            Cause::Jump,
            Cause::Jump,
            Cause::Level,
            Cause::Level,
        ];
        Some(Judgement {
            score: score(log_p),
            value: x,
            expected: bounds.map(|b| b.0),
            lower: bounds.map(|b| b.1),
            upper: bounds.map(|b| b.2),
            cause: causes.get(index).copied().unwrap_or(Cause::Spread),
            is_above: index % 2 == 0,
        })
    }

    /// Something is missing: its place in the season passes.
    pub fn skip(&mut self) {
        self.season.advance();
    }

    fn take<B>(
        &mut self,
        x: f64,
        look: impl FnOnce(&Self) -> B,
    ) -> Option<(f64, usize, Option<B>)> {
        if x.is_nan() || x.abs() > LARGEST {
            self.skip();
            return None;
        }
        let view = (self.seen >= WARM_UP as u64).then(|| look(self));
        let seasonal = self.season.expected();
        if !self.season.profile.is_empty() {
            let level = if self.seen == 0 { x } else { self.medium };
            self.season.learn(x - level, 3.0 * self.spread);
        }
        self.season.advance();
        let x = x - seasonal;
        let judged = if view.is_some() {
            self.seen += 1;
            let (log_p, index) = self.step(x);
            (log_p, index, view)
        } else {
            if let Some(slot) = usize::try_from(self.seen)
                .ok()
                .and_then(|i| self.early.get_mut(i))
            {
                *slot = x;
            }
            self.seen += 1;
            if self.seen == WARM_UP as u64 {
                self.start();
            } else {
                self.medium += (x - self.medium) / self.seen as f64;
            }
            (0.0, 0, None)
        };
        Some(judged)
    }

    fn start(&mut self) {
        let early = self.early;
        let mut sorted = early;
        sorted.sort_by(f64::total_cmp);
        let median = crate::robust::median_of_sorted(&sorted).unwrap_or(0.0);
        self.slow = median;
        self.medium = median;
        self.fast = median;
        self.spread = early.iter().map(|x| (x - median).abs()).sum::<f64>() / WARM_UP as f64;
        self.jump = self.spread;
        self.recent_jump = self.spread;
        let mut all = [[0.0; WARM_UP]; TAILS];
        for (i, x) in early.iter().enumerate() {
            let before = self.deviations(*x);
            let after = self.learn(*x, true);
            let statistics = before.into_iter().chain(after);
            for (row, statistic) in all.iter_mut().zip(statistics) {
                if let Some(slot) = row.get_mut(i) {
                    *slot = statistic;
                }
            }
        }
        for (tail, row) in self.tails.iter_mut().zip(&mut all) {
            row.sort_by(f64::total_cmp);
            *tail = Tail::start(row);
        }
    }

    /// What is compared before a value is learned from.
    fn deviations(&self, x: f64) -> [f64; 4] {
        let slow = x - self.slow;
        let quick = x - self.fast;
        [slow, -slow, quick, -quick]
    }

    /// Learns from a value, all of it or, where it is not believed, only what it says of scales; gives what is compared
    /// afterwards.
    fn learn(&mut self, x: f64, is_believed: bool) -> [f64; 3] {
        let slow = x - self.slow;
        let quick = x - self.fast;
        if is_believed {
            self.medium += (x - self.medium) / MEDIUM;
            self.fast += FAST * quick;
            self.recent_jump += (tame(quick.abs(), self.jump) - self.recent_jump) / MEDIUM;
        }
        let level = self.medium - self.slow;
        let restless = self.recent_jump - self.jump;
        let most = 4.0 * self.spread;
        self.slow += slow.clamp(-most, most) / SLOW;
        self.spread += (tame(slow.abs(), self.spread) - self.spread) / SLOW;
        self.jump += (tame(quick.abs(), self.jump) - self.jump) / SLOW;
        [level, -level, restless]
    }

    fn step(&mut self, x: f64) -> (f64, usize) {
        let mut least = (0.0, 0);
        for (i, statistic) in self.deviations(x).into_iter().enumerate() {
            self.compare(i, statistic, &mut least);
        }
        // A few wild values do not move the short means, so that their end is no anomaly of its own. More of them are
        // another level, and are believed.
        let is_wild = least.0 < RARE;
        let is_believed = !is_wild || self.doubts >= PATIENCE;
        self.doubts = match (is_wild, is_believed) {
            (true, false) => self.doubts + 1,
            (true, true) => self.doubts,
            (false, _) => 0,
        };
        for (i, statistic) in self.learn(x, is_believed).into_iter().enumerate() {
            self.compare(4 + i, statistic, &mut least);
        }
        (least.0 + COMPARISONS.ln(), least.1)
    }

    fn compare(&mut self, index: usize, statistic: f64, least: &mut (f64, usize)) {
        let spread = if matches!(index, 2 | 3 | 6) {
            self.jump
        } else {
            self.spread
        };
        if let Some(tail) = self.tails.get_mut(index) {
            let log_p = tail.judge(statistic, spread, self.floor, self.seen);
            if log_p < least.0 {
                *least = (log_p, index);
            }
        }
    }

    /// What is expected of the next value, and the bounds in which its probability is above `exp(log_limit)`.
    fn bounds(&self, log_limit: f64) -> (f64, f64, f64) {
        let seasonal = self.season.expected();
        let level = if self.jump < 0.8 * self.spread {
            self.fast
        } else {
            self.slow
        };
        let bound = |i: usize, spread: f64| {
            self.tails
                .get(i)
                .and_then(|tail| tail.bound(log_limit, (LEAST_SCALE * spread).max(self.floor)))
        };
        // The level's mean moves by a part of the difference.
        let of_level =
            |b: f64, sign: f64| self.medium + MEDIUM * (self.slow + sign * b - self.medium);
        let upper = [
            bound(0, self.spread).map(|b| self.slow + b),
            bound(2, self.jump).map(|b| self.fast + b),
            bound(4, self.spread).map(|b| of_level(b, 1.0)),
        ];
        let lower = [
            bound(1, self.spread).map(|b| self.slow - b),
            bound(3, self.jump).map(|b| self.fast - b),
            bound(5, self.spread).map(|b| of_level(b, -1.0)),
        ];
        let upper = upper.into_iter().flatten().fold(f64::INFINITY, f64::min);
        let lower = lower
            .into_iter()
            .flatten()
            .fold(f64::NEG_INFINITY, f64::max);
        let (lower, upper) = (lower.min(upper), upper.max(lower));
        (
            level.clamp(lower, upper) + seasonal,
            lower + seasonal,
            upper + seasonal,
        )
    }
}

/// A deviation, so that one anomaly does not hide the next.
fn tame(deviation: f64, spread: f64) -> f64 {
    if spread > 0.0 {
        deviation.min(6.0 * spread)
    } else {
        deviation
    }
}
