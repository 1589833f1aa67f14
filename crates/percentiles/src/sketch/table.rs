//! Counts per bucket: arrays that coarsen themselves.
//!
//! For each sign, the counts of neighbouring buckets lie in one array, a window on the numbers of
//! the buckets that grows to where values are. What is bounded is the number of buckets in use and
//! not the range of the values, so the few that lie too far away for the window are kept in a map.
//!
//! When the buckets outgrow their budget all pairs of neighbours are merged, which squares the
//! ratio of their bounds (Epicoco et al., "`UDDSketch`", IEEE Access 8, 2020). The budget is a rule
//! on the counts, [`fits_budget`], that a set of values keeps when values are removed from it or
//! when it is collapsed. So the level reached is the least one at which all values fit, however
//! they came: the table is a function of the multiset of its values.

use super::mapping::MAX_LEVEL;
use super::{BUDGET_BITS, Key, MAX_BUCKETS, OVERHEAD_BITS};
use std::collections::BTreeMap;

/// A window holds at most this many buckets: four times as many as can be in use.
const MAX_WINDOW: u32 = 4096;
/// Windows grow by multiples of this.
const STEP: u32 = 64;

/// Counts of the buckets with the magnitudes `first..first + counts.len()` of one sign; magnitude 0
/// is never among them.
#[derive(Debug, Clone, Default)]
struct Window {
    first: u32,
    counts: Vec<u64>,
}

impl Window {
    #[inline]
    fn count_mut(&mut self, magnitude: u32) -> Option<&mut u64> {
        // Below `first` the difference wraps round to beyond any length.
        let at = magnitude.wrapping_sub(self.first);
        self.counts.get_mut(at as usize)
    }

    /// Makes the window reach a bucket, unless it would become too long; tells whether it does.
    fn extend_to(&mut self, magnitude: u32) -> bool {
        let step = (magnitude - 1) / STEP * STEP + 1;
        if self.counts.is_empty() {
            self.first = step;
        }
        let first = self.first.min(step);
        let old_end = self.first + u32::try_from(self.counts.len()).unwrap_or(MAX_WINDOW);
        let end = old_end.max(step + STEP);
        if end - first > MAX_WINDOW {
            return false;
        }
        let missing = (self.first - first) as usize;
        self.counts.splice(0..0, std::iter::repeat_n(0, missing));
        self.counts.resize((end - first) as usize, 0);
        self.first = first;
        true
    }
}

/// The bucket that holds `key` after `levels` further collapses: half of it each time, rounded away
/// from zero.
#[inline]
pub(super) fn lift(key: Key, levels: u32) -> Key {
    let magnitude = ((key.abs() - 1) >> levels) + 1;
    key.signum() * magnitude
}

/// Bits that the stored form is reckoned to need for a count.
fn cost(count: u64) -> u32 {
    match count.checked_ilog2() {
        Some(log) => OVERHEAD_BITS + 1 + log,
        None => 0,
    }
}

/// The rule on the counts of all buckets that a table keeps to.
///
/// Removing values makes no count and no number of buckets larger; merging two counts `a >= b > 0`
/// into one costs at most one bit more than `a` alone did, and each bucket costs more than that.
pub(super) fn fits_budget(counts: impl Iterator<Item = u64>) -> bool {
    let sum = |(used, bits), count| (used + 1, bits + cost(count));
    let (used, bits) = counts.fold((0, 0), sum);
    used <= MAX_BUCKETS && bits <= BUDGET_BITS
}

/// How many values each bucket holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    level: u32,
    zeros: u64,
    positive: Window,
    negative: Window,
    strays: BTreeMap<Key, u64>,
    used: usize,
    cost: u32,
}

impl Table {
    /// How often the buckets have been merged in pairs.
    #[inline]
    pub(super) fn level(&self) -> u32 {
        self.level
    }

    /// Counts one value in the bucket `key` of the current level.
    #[inline]
    pub(super) fn increment(&mut self, key: Key) {
        let count = self.slot(key);
        *count += 1;
        let count = *count;
        // A bucket's cost changes only where its count reaches a power of two, a new one among
        // them.
        if count.is_power_of_two() {
            self.account(count - 1, count);
        }
    }

    /// Counts `count` values in the bucket that `key` of an earlier or the same `level` is now in.
    pub(super) fn add(&mut self, key: Key, level: u32, count: u64) {
        let key = lift(key, self.level - level.min(self.level));
        let slot = self.slot(key);
        let before = *slot;
        *slot += count;
        let after = *slot;
        if cost(before) != cost(after) {
            self.account(before, after);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.collapse_to(other.level);
        for (key, count) in other.buckets() {
            self.add(key, other.level, count);
        }
    }

    pub(super) fn collapse_to(&mut self, level: u32) {
        while self.level < level.min(MAX_LEVEL) {
            self.collapse();
        }
    }

    /// Buckets in use and their counts, in the order of their values.
    pub(super) fn sorted(&self) -> Vec<(Key, u64)> {
        let mut buckets: Vec<_> = self.buckets().collect();
        buckets.sort_unstable_by_key(|&(key, _)| key);
        buckets
    }

    /// Buckets in use and their counts, in no particular order.
    fn buckets(&self) -> impl Iterator<Item = (Key, u64)> {
        let keys = |window: &Window| window.first.cast_signed()..;
        let positive = keys(&self.positive).zip(self.positive.counts.iter().copied());
        let negative = keys(&self.negative).zip(self.negative.counts.iter().copied());
        positive
            .chain(negative.map(|(key, count)| (-key, count)))
            .chain(self.strays.iter().map(|(&key, &count)| (key, count)))
            .chain([(0, self.zeros)])
            .filter(|&(_, count)| count > 0)
    }

    fn within_budget(&self) -> bool {
        self.used <= MAX_BUCKETS && self.cost <= BUDGET_BITS
    }

    #[inline]
    fn window(&mut self, key: Key) -> &mut Window {
        if key > 0 {
            &mut self.positive
        } else {
            &mut self.negative
        }
    }

    /// The count of a bucket, 0 if it is new.
    #[inline]
    fn slot(&mut self, key: Key) -> &mut u64 {
        // Asked twice, because a borrow that is returned on one path lasts on the other.
        if self.window(key).count_mut(key.unsigned_abs()).is_none() {
            return self.slot_outside(key);
        }
        let window = self.window(key);
        let at = key.unsigned_abs().wrapping_sub(window.first);
        &mut window.counts[at as usize]
    }

    /// The count of a bucket that no window covers, wherever it is to be kept.
    #[cold]
    fn slot_outside(&mut self, key: Key) -> &mut u64 {
        if key == 0 {
            return &mut self.zeros;
        }
        if self.window(key).extend_to(key.unsigned_abs()) {
            self.bring_in_strays();
        }
        let window = if key > 0 {
            &mut self.positive
        } else {
            &mut self.negative
        };
        match window.count_mut(key.unsigned_abs()) {
            Some(count) => count,
            None => self.strays.entry(key).or_default(),
        }
    }

    /// Moves strays to where a window has grown over them.
    fn bring_in_strays(&mut self) {
        for (key, count) in std::mem::take(&mut self.strays) {
            match self.window(key).count_mut(key.unsigned_abs()) {
                Some(slot) => *slot = count,
                None => drop(self.strays.insert(key, count)),
            }
        }
    }

    #[cold]
    fn account(&mut self, before: u64, after: u64) {
        self.cost += cost(after) - cost(before);
        self.used += usize::from(before == 0);
        while !self.within_budget() && self.level < MAX_LEVEL {
            self.collapse();
        }
    }

    /// Merges all pairs of neighbours.
    fn collapse(&mut self) {
        let fine = std::mem::take(self);
        self.level = fine.level + 1;
        for (key, count) in fine.buckets() {
            let slot = self.slot(lift(key, 1));
            let before = *slot;
            *slot += count;
            let after = *slot;
            self.cost += cost(after) - cost(before);
            self.used += usize::from(before == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifting_rounds_away_from_zero_and_keeps_zero() {
        let lifted: Vec<Key> = (-5..=5).map(|key| lift(key, 1)).collect();
        assert_eq!(lifted, [-3, -2, -2, -1, -1, 0, 1, 1, 2, 2, 3]);
        assert_eq!(lift(9, 2), lift(lift(9, 1), 1));
    }

    #[test]
    fn collapses_exactly_when_the_buckets_do_not_fit() {
        let mut table = Table::default();
        for key in 1..=Key::try_from(MAX_BUCKETS).unwrap() {
            table.increment(key);
        }
        assert_eq!(table.level(), 0);
        table.increment(0);
        assert_eq!((table.level(), table.used), (1, MAX_BUCKETS / 2 + 1));
        assert_eq!(table.sorted()[..3], [(0, 1), (1, 2), (2, 2)]);
    }

    #[test]
    fn incremental_accounts_equal_a_recount() {
        let mut table = Table::default();
        for i in 0..200_000_i32 {
            table.increment(i % 700 - 350);
            table.add(i % 90, 0, 3);
        }
        let recount: u32 = table.sorted().iter().map(|&(_, count)| cost(count)).sum();
        assert_eq!(table.cost, recount);
        assert_eq!(table.used, table.sorted().len());
        assert!(table.within_budget());
    }

    #[test]
    fn far_buckets_are_counted_once_wherever_they_are_kept() {
        let far = Key::try_from(2 * MAX_WINDOW).unwrap();
        let mut table = Table::default();
        for key in [1, far, -far, far, -1, far - 3000, 3000, far, 0] {
            table.increment(key);
        }
        assert!(!table.strays.is_empty());
        let expected = [
            (-far, 1),
            (-1, 1),
            (0, 1),
            (1, 1),
            (3000, 1),
            (far - 3000, 1),
            (far, 3),
        ];
        assert_eq!(table.sorted(), expected);
        // Collapsed, everything lies within reach.
        table.collapse_to(2);
        assert!(table.strays.is_empty());
        assert_eq!(
            table.sorted().iter().map(|&(_, count)| count).sum::<u64>(),
            9
        );
    }
}
