//! From times and values to a series of equal steps.
//!
//! The step is the most common distance of two times, so that gaps do not matter, and neither does the hour that a day
//! loses or gains when clocks change. Months are recognised: they have no length of their own. What is missing between
//! the first and the last time becomes NaN, which every method here passes over.

use crate::error::Error;

/// Most places of a series.
pub const MOST_PLACES: usize = 1_000_000;
/// How many places may be empty for each value that is there, and how many always may.
const SPARSEST: u64 = 50;
const EMPTY_ALLOWED: u64 = 1_000;

const DAY: i64 = 86_400_000_000;
/// Microseconds from 1970-01-01 to 2000-01-01, where Postgres begins to count.
const EPOCH: i64 = 10_957 * DAY;

/// The distance of two neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Microseconds.
    Fixed(i64),
    /// Calendar months in UTC.
    Months(i64),
}

impl Step {
    /// The time `count` steps after `start` (microseconds since 2000-01-01), within what i64 holds.
    pub fn after(self, start: i64, count: i64) -> i64 {
        match self {
            Self::Fixed(step) => start.saturating_add(step.saturating_mul(count)),
            Self::Months(months) => {
                let (year, month, day) = civil(start.saturating_add(EPOCH).div_euclid(DAY));
                let total = (year * 12 + month - 1).saturating_add(months.saturating_mul(count));
                days_of(total.div_euclid(12), total.rem_euclid(12) + 1, day)
                    .saturating_mul(DAY)
                    .saturating_sub(EPOCH)
                    .saturating_add(start.rem_euclid(DAY))
            }
        }
    }

    /// About how long it is, in microseconds.
    pub fn micros(self) -> i64 {
        match self {
            Self::Fixed(step) => step,
            Self::Months(months) => months.saturating_mul(DAY / 16 * 487),
        }
    }
}

/// A series of equal steps.
#[derive(Clone, Debug)]
pub struct Series {
    /// First time, in microseconds since 2000-01-01.
    pub start: i64,
    /// Distance of neighbours.
    pub step: Step,
    /// The values; NaN where there is none.
    pub values: Vec<f64>,
    /// For each input, in time order: its index in the arguments and its place in `values`.
    pub places: Vec<(usize, usize)>,
}

impl Series {
    /// From times in any order; `None`, NaN and infinities are gaps.
    ///
    /// # Errors
    /// Unequal lengths, a time that occurs twice, too many or too sparse values.
    pub fn new(times: &[i64], values: &[Option<f64>]) -> Result<Self, Error> {
        if times.len() != values.len() {
            return Err(Error::Lengths {
                times: times.len(),
                values: values.len(),
            });
        }
        if times.len() > MOST_PLACES {
            return Err(Error::TooMany(times.len()));
        }
        let mut order: Vec<(i64, usize)> = times.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let sorted: Vec<i64> = order.iter().map(|(time, _)| *time).collect();
        if let Some((_, again)) = neighbours(&sorted).find(|(a, b)| a == b) {
            return Err(Error::DuplicateTime(again));
        }
        let Some(start) = sorted.first().copied() else {
            return Ok(Self {
                start: 0,
                step: Step::Fixed(DAY),
                values: Vec::new(),
                places: Vec::new(),
            });
        };
        let step = step_of(&sorted);
        let place_of = |time: i64| match step {
            Step::Fixed(step) => {
                let distance = time.abs_diff(start);
                let step = step.unsigned_abs().max(1);
                distance / step + u64::from(distance % step * 2 >= step)
            }
            Step::Months(months) => {
                let whole = month_of(time) - month_of(start);
                whole.div_euclid(months.max(1)).unsigned_abs()
            }
        };
        let end = sorted.last().map_or(0, |time| place_of(*time)) + 1;
        let there = sorted.len() as u64;
        if end > MOST_PLACES as u64
            || end > there.saturating_mul(SPARSEST).saturating_add(EMPTY_ALLOWED)
        {
            return Err(Error::TooSparse {
                places: end,
                values: sorted.len(),
            });
        }
        let length = usize::try_from(end).unwrap_or(0);
        let mut sums = vec![(0.0_f64, 0_u32); length];
        let mut places = Vec::with_capacity(order.len());
        for (time, index) in order {
            let place = usize::try_from(place_of(time)).unwrap_or(0);
            places.push((index, place));
            let value = values.get(index).copied().flatten();
            if let (Some(value), Some(slot)) =
                (value.filter(|x| is_measurement(*x)), sums.get_mut(place))
            {
                slot.0 += value;
                slot.1 += 1;
            }
        }
        let values = sums
            .into_iter()
            .map(|(sum, count)| {
                if count == 0 {
                    f64::NAN
                } else {
                    sum / f64::from(count)
                }
            })
            .collect();
        Ok(Self {
            start,
            step,
            values,
            places,
        })
    }

    /// The time of a place, also beyond the end.
    pub fn time(&self, place: usize) -> i64 {
        self.step
            .after(self.start, i64::try_from(place).unwrap_or(i64::MAX))
    }

    /// Number of values that are there.
    pub fn count(&self) -> usize {
        self.values.iter().filter(|x| !x.is_nan()).count()
    }
}

/// Whether a value can be computed with.
pub fn is_measurement(x: f64) -> bool {
    x.abs() <= crate::stream::LARGEST
}

fn neighbours(sorted: &[i64]) -> impl Iterator<Item = (i64, i64)> {
    sorted.iter().copied().zip(sorted.iter().copied().skip(1))
}

fn step_of(sorted: &[i64]) -> Step {
    let mut distances: Vec<i64> = neighbours(sorted)
        .map(|(a, b)| b.saturating_sub(a))
        .collect();
    distances.sort_unstable();
    if let Some(months) = months_of(sorted, &distances) {
        return Step::Months(months);
    }
    // The most common one; among equally common ones the shortest.
    let mut best = (0, DAY);
    let mut run = (0, 0);
    for distance in &distances {
        run = if *distance == run.1 {
            (run.0 + 1, run.1)
        } else {
            (1, *distance)
        };
        if run.0 > best.0 {
            best = run;
        }
    }
    // Times that were never rounded have no common distance.
    let median = distances.get(distances.len() / 2).copied().unwrap_or(DAY);
    if best.0 * 4 < distances.len() && distances.len() > 3 {
        return Step::Fixed(median.max(1));
    }
    Step::Fixed(best.1.max(1))
}

/// Whether all times are the same day and time of their months: the months between most neighbours.
fn months_of(sorted: &[i64], distances: &[i64]) -> Option<i64> {
    let shortest = *distances.first()?;
    if shortest < 28 * DAY {
        return None;
    }
    let first = *sorted.first()?;
    let day_of = |time: i64| civil(time.saturating_add(EPOCH).div_euclid(DAY)).2;
    let is_same = sorted.iter().all(|time| {
        time.rem_euclid(DAY) == first.rem_euclid(DAY) && day_of(*time) == day_of(first)
    });
    // Two months in a row that are as long as each other are July and August, December and January: a series of
    // 30-day steps soon leaves its day of the month.
    if !is_same {
        return None;
    }
    let mut months: Vec<i64> = neighbours(sorted)
        .map(|(a, b)| month_of(b) - month_of(a))
        .collect();
    months.sort_unstable();
    months.first().copied().filter(|m| *m >= 1)
}

fn month_of(time: i64) -> i64 {
    let (year, month, _) = civil(time.saturating_add(EPOCH).div_euclid(DAY));
    year * 12 + month
}

/// Days since 1970-01-01 to year, month and day of the Gregorian calendar, counted from March so that the leap day is
/// the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse; a day that the month does not have becomes its last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let is_leap =
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let day = day.min(length);
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The same values with gaps filled by straight lines between their neighbours; none when there is no value at all.
pub fn filled(values: &[f64]) -> Option<Vec<f64>> {
    let mut result = values.to_vec();
    let mut last: Option<(usize, f64)> = None;
    let first = values.iter().copied().find(|x| !x.is_nan())?;
    for (i, x) in values.iter().enumerate() {
        if x.is_nan() {
            continue;
        }
        let (from, before) = last.map_or((0, first), |(at, value)| (at + 1, value));
        let width = i + 1 - from;
        for (k, slot) in result.iter_mut().take(i).skip(from).enumerate() {
            *slot = before + (x - before) * (k + 1) as f64 / width as f64;
        }
        last = Some((i, *x));
    }
    if let Some((at, value)) = last {
        for slot in result.iter_mut().skip(at + 1) {
            *slot = value;
        }
    }
    Some(result)
}
