//! Several order statistics of one slice without sorting it.
//!
//! Tiny slices are sorted. Small ones use the standard library's quickselect, recursively from the
//! middle rank. Large ones first read a sorted sample, from which each wanted rank gets a bracket
//! of two values that holds it with near certainty (the idea of Floyd and Rivest, "Expected time
//! bounds for selection", CACM 18, 1975, for many ranks at once). One branch-free pass then counts
//! what lies below each bracket and moves what lies inside to the front; only that front, a few
//! percent, is searched. When a bracket misses or holds too much, the standard way is still there.

use std::cmp::Ordering;

/// Up to this many values sorting is quicker than selecting.
const SORT_UP_TO: usize = 128;
/// Below this many values a pass over the data costs more than it saves.
const BRACKETS_FROM: usize = 1 << 15;
/// More ranks than this make the pass dearer than plain recursion.
const MAX_BRACKETS: usize = 16;
/// Half width of a bracket in standard deviations of the sampled rank.
const BRACKET_SIGMAS: f64 = 4.0;
const SAMPLE_MAX: usize = 1 << 14;

/// The values at `ranks` (ascending, distinct, below `values.len()`), with NaN sorted last.
pub(super) fn order_statistics(values: &mut [f64], ranks: &[usize]) -> Vec<f64> {
    let mut found = vec![f64::NAN; ranks.len()];
    let numbers = nan_to_the_end(values);
    // What is left out of the selection are the ranks of NaN, which `found` already holds.
    let wanted = ranks.partition_point(|&rank| rank < numbers.len());
    select(numbers, &ranks[..wanted], &mut found[..wanted]);
    found
}

/// Moves NaN behind the numbers and returns the numbers: comparisons are total from here on.
fn nan_to_the_end(values: &mut [f64]) -> &mut [f64] {
    if !has_nan(values) {
        return values;
    }
    let mut kept = 0;
    for i in 0..values.len() {
        if !values[i].is_nan() {
            values.swap(kept, i);
            kept += 1;
        }
    }
    &mut values[..kept]
}

fn has_nan(values: &[f64]) -> bool {
    // In blocks, so that the inner loop has no exit and becomes vector code.
    values
        .chunks(1024)
        .any(|block| block.iter().fold(false, |nan, x| nan | x.is_nan()))
}

fn select(values: &mut [f64], ranks: &[usize], found: &mut [f64]) {
    if ranks.is_empty() {
        return;
    }
    if values.len() <= SORT_UP_TO {
        values.sort_unstable_by(by_value);
        for (found, &rank) in found.iter_mut().zip(ranks) {
            *found = values[rank];
        }
    } else if values.len() >= BRACKETS_FROM
        && let Some(brackets) = Brackets::around(values, ranks)
        && let Some((inside, inner_ranks)) = brackets.gather(values, ranks)
    {
        select(&mut values[..inside], &inner_ranks, found);
    } else {
        quickselect(values, ranks, found, 0);
    }
}

/// Selects the middle rank, then the lower ranks left of it and the higher ranks right of it.
fn quickselect(values: &mut [f64], ranks: &[usize], found: &mut [f64], offset: usize) {
    let Some(&rank) = ranks.get(ranks.len() / 2) else {
        return;
    };
    let middle = ranks.len() / 2;
    let (left, value, right) = values.select_nth_unstable_by(rank - offset, by_value);
    found[middle] = *value;
    let (found_left, found_right) = found.split_at_mut(middle);
    quickselect(left, &ranks[..middle], found_left, offset);
    quickselect(right, &ranks[middle + 1..], &mut found_right[1..], rank + 1);
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that sorting asks for"
)]
fn by_value(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

/// Disjoint closed intervals of values, ascending, each thought to hold one or more wanted ranks.
struct Brackets {
    lows: Vec<f64>,
    highs: Vec<f64>,
}

impl Brackets {
    /// Brackets from a sample, or `None` where the sample says that they would hold too much.
    fn around(values: &[f64], ranks: &[usize]) -> Option<Self> {
        let sample = sorted_sample(values);
        let last = sample.len() - 1;
        let scale = last as f64 / (values.len() - 1) as f64;
        let margin = BRACKET_SIGMAS * 0.5 * (sample.len() as f64).sqrt();
        let mut brackets: Vec<(usize, usize)> = Vec::new();
        for &rank in ranks {
            let at = rank as f64 * scale;
            let (low, high) = (floor_index(at - margin), floor_index(at + margin) + 1);
            match brackets.last_mut() {
                Some(previous) if sample[low.min(last)] <= sample[previous.1.min(last)] => {
                    previous.1 = high;
                }
                _ => brackets.push((low, high)),
            }
        }
        let held: usize = brackets.iter().map(|(low, high)| high - low).sum();
        if brackets.len() > MAX_BRACKETS || held * 2 > sample.len() {
            return None;
        }
        // Beyond the ends of the sample lie values that it did not see.
        let low = |&(low, _): &(usize, usize)| match low {
            0 => f64::NEG_INFINITY,
            _ => sample[low],
        };
        let high = |&(_, high): &(usize, usize)| sample.get(high).copied().unwrap_or(f64::INFINITY);
        Some(Self {
            lows: brackets.iter().map(low).collect(),
            highs: brackets.iter().map(high).collect(),
        })
    }

    /// Moves the values inside the brackets to the front; returns how many there are and where in
    /// that front the ranks now lie. `None` when a bracket missed or the front is no smaller.
    fn gather(&self, values: &mut [f64], ranks: &[usize]) -> Option<(usize, Vec<usize>)> {
        let mut below = vec![0_usize; self.lows.len()];
        let mut inside = vec![0_usize; self.lows.len()];
        let mut front = 0;
        for start in (0..values.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(values.len());
            let is_inside = self.classify(&values[start..end], &mut below, &mut inside);
            for (i, &wanted) in (start..end).zip(&is_inside) {
                values.swap(front, i);
                front += usize::from(wanted);
            }
        }
        if front * 2 > values.len() {
            return None;
        }
        let inner = Self::inner_ranks(ranks, &below, &inside)?;
        Some((front, inner))
    }

    /// Flags the values of one block that lie inside a bracket and adds to the counts per bracket.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "without branches, this is vector code"
    )]
    #[inline]
    fn classify(&self, block: &[f64], below: &mut [usize], inside: &mut [usize]) -> [u8; BLOCK] {
        let mut flags = [0_u8; BLOCK];
        let bounds = self.lows.iter().zip(&self.highs);
        for ((&low, &high), (below, inside)) in bounds.zip(below.iter_mut().zip(inside)) {
            let (mut lower, mut within) = (0_u64, 0_u64);
            for (flag, &x) in flags.iter_mut().zip(block) {
                let is_within = (x >= low) & (x <= high);
                lower += u64::from(x < low);
                within += u64::from(is_within);
                *flag |= u8::from(is_within);
            }
            *below += as_usize(lower);
            *inside += as_usize(within);
        }
        flags
    }

    /// Ranks among the gathered values, or `None` when a rank lies in none of the brackets.
    fn inner_ranks(ranks: &[usize], below: &[usize], inside: &[usize]) -> Option<Vec<usize>> {
        let mut gathered_before = 0;
        let mut inner = Vec::with_capacity(ranks.len());
        for (&below, &inside) in below.iter().zip(inside) {
            let here = ranks
                .iter()
                .filter(|&&rank| rank >= below && rank - below < inside);
            inner.extend(here.map(|rank| rank - below + gathered_before));
            gathered_before += inside;
        }
        (inner.len() == ranks.len()).then_some(inner)
    }
}

/// Values per block: its flags and its values stay in the first-level cache.
const BLOCK: usize = 512;

fn as_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates at 0, which is meant, and is bounded by the sample size above"
)]
fn floor_index(position: f64) -> usize {
    position.max(0.0) as usize
}

/// A sorted sample, one value from a pseudo-random place of each of equally long stretches: it
/// meets neither sorted input nor periodic input at a bad angle, and it is the same every time.
fn sorted_sample(values: &[f64]) -> Vec<f64> {
    let stretch = (values.len() / SAMPLE_MAX).max(8);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut sample: Vec<f64> = values
        .chunks_exact(stretch)
        .map(|chunk| {
            // xorshift64 (Marsaglia 2003): quality does not matter here, only irregularity.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk[as_usize(state >> 32) % stretch]
        })
        .collect();
    sample.sort_unstable_by(by_value);
    sample
}
