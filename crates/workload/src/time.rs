//! Microseconds and the calendar, as far as a workload needs them.

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Hour of the day, 0 to 23.
pub(crate) fn hour_of_day(micros: i64) -> usize {
    usize::try_from(micros.rem_euclid(DAY) / HOUR).unwrap_or(0)
}

pub(crate) fn is_weekend(micros: i64) -> bool {
    // 1970-01-01 was a Thursday: adding 3 makes Monday 0.
    (micros.div_euclid(DAY) + 3).rem_euclid(7) >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar() {
        let thursday = 1_767_225_600_000_000; // 2026-01-01 00:00 UTC
        let weekend: Vec<bool> = (0..7).map(|day| is_weekend(thursday + day * DAY)).collect();
        assert_eq!(weekend, [false, false, true, true, false, false, false]);
        assert_eq!(hour_of_day(thursday + 13 * HOUR + 59 * MINUTE), 13);
        assert_eq!(hour_of_day(thursday - 1), 23);
    }
}
