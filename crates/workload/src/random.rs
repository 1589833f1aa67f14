//! Randomness that never changes.
//!
//! `SplitMix64` (Steele, Lea, Flood 2014; Java's `SplittableRandom`) is written out here rather than
//! taken from a crate: it is three lines with published test vectors, so the stream cannot change
//! under us with an upgrade, and its state is one word, so that each run can have a generator of
//! its own keyed by its index. That is what makes every chunk independent of every other.

use std::f64::consts::TAU;

use crate::numbers::index;
use crate::run::Uuid;

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a generator is for: equal indices in different streams are unrelated.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Run = 1,
    Minute,
    Rhythm,
    Workspace,
    Agent,
    AgentId,
    User,
    Session,
}

/// A stream of random numbers.
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of one thing: the same for the same seed, stream and index.
    pub(crate) fn keyed(seed: u64, stream: Stream, index: u64) -> Self {
        let key = mix(seed.wrapping_add((stream as u64).wrapping_mul(GAMMA)));
        Self(mix(key.wrapping_add(index.wrapping_mul(GAMMA))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    pub(crate) fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in 0 .. bound, by multiplication; the bias is below bound / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// One element of a table that is not empty.
    pub(crate) fn pick<'a, T>(&mut self, table: &'a [T]) -> &'a T {
        &table[index(self.below(table.len() as u64))]
    }

    /// The index that a uniform draw hits in a table of cumulative weights that is not empty.
    pub(crate) fn weighted(&mut self, cumulative: &[u64]) -> usize {
        let total = cumulative.last().copied().unwrap_or(1);
        let point = self.below(total);
        cumulative.partition_point(|&bound| bound <= point)
    }

    /// Two independent standard normal numbers (Box and Muller).
    pub(crate) fn normal_pair(&mut self) -> (f64, f64) {
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        let (sin, cos) = libm::sincos(TAU * self.unit());
        (radius * cos, radius * sin)
    }

    /// Exponential with the given mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }

    /// A UUID of version 4.
    pub(crate) fn uuid_v4(&mut self) -> Uuid {
        stamp((u128::from(self.next()) << 64) | u128::from(self.next()), 4)
    }

    /// A UUID of version 7: 48 bits of milliseconds since 1970, then randomness.
    pub(crate) fn uuid_v7(&mut self, micros: i64) -> Uuid {
        let millis = u128::from(micros.unsigned_abs() / 1_000);
        let random = (u128::from(self.next() & 0xFFFF) << 64) | u128::from(self.next());
        stamp((millis << 80) | random, 7)
    }
}

fn stamp(bits: u128, version: u128) -> Uuid {
    let bits = bits & !(0xF << 76) & !(0b11 << 62);
    (bits | (version << 76) | (0b10 << 62)).to_be_bytes()
}

/// The finalizer of `SplitMix64`: a bijection in which every input bit moves every output bit.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        let mut rng = Rng(1_234_567);
        let numbers: Vec<u64> = (0..5).map(|_| rng.next()).collect();
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn streams_and_indices_differ() {
        let first = |stream, index| Rng::keyed(1, stream, index).next();
        assert_ne!(first(Stream::Run, 1), first(Stream::Run, 2));
        assert_ne!(first(Stream::Run, 1), first(Stream::Minute, 1));
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut rng = Rng::keyed(7, Stream::Run, 0);
        let count = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..count / 2 {
            let (one, two) = rng.normal_pair();
            sum += one + two;
            squares += one * one + two * two;
        }
        assert!((sum / f64::from(count)).abs() < 0.01);
        assert!((squares / f64::from(count) - 1.0).abs() < 0.02);
    }

    #[test]
    fn uuids_are_stamped() {
        let mut rng = Rng::keyed(7, Stream::Run, 0);
        let (four, seven) = (rng.uuid_v4(), rng.uuid_v7(1_767_225_600_000_000));
        assert_eq!((four[6] >> 4, four[8] >> 6), (4, 0b10));
        assert_eq!((seven[6] >> 4, seven[8] >> 6), (7, 0b10));
        assert_eq!(seven[..6], 1_767_225_600_000_u64.to_be_bytes()[2..]);
    }

    #[test]
    fn weights_are_followed() {
        let mut rng = Rng::keyed(7, Stream::Run, 0);
        let mut hits = [0; 3];
        (0..10_000).for_each(|_| hits[rng.weighted(&[1, 1, 4])] += 1);
        assert_eq!(hits[1], 0);
        assert!((2_300..2_700).contains(&hits[0]), "{hits:?}");
    }
}
