//! Ranks over any number of boards in one pass.

/// How entities with equal scores are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// 1, 1, 3: one more than the number of better ones (SQL `rank()`).
    #[default]
    Competition,
    /// 1, 1, 2: one more than the number of better scores (SQL `dense_rank()`).
    Dense,
    /// 1, 2, 3: the place in the order of the board, ties by key (SQL `row_number()`).
    Ordinal,
}

impl Method {
    /// The names, for messages.
    pub const NAMES: &'static str = "competition, dense, ordinal";

    /// The method of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "competition" => Some(Self::Competition),
            "dense" => Some(Self::Dense),
            "ordinal" => Some(Self::Ordinal),
            _ => None,
        }
    }
}

/// One entity on one board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<B, K> {
    /// The board.
    pub board: B,
    /// Decides the order among ties, and only that.
    pub key: K,
    /// What the board ranks by, the highest first.
    pub score: f64,
}

/// Where an entry stands on its board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Index of the entry in the input.
    pub entry: usize,
    /// Rank by the method that was asked for.
    pub rank: u64,
    /// Competition rank, whatever the method: what badges go by.
    pub competition_rank: u64,
    /// Share of the peers, in percent, with a strictly lower score, plus half of those with the same one. The best of
    /// several has 100, the last 0; whoever has no peers, or nothing but ties, has 50.
    pub percentile: f64,
    /// Entries on the board.
    pub board_size: u64,
}

/// Ranks all entries, each among those of its board: board by board, the highest score first, ties by key.
///
/// A NaN comes last, below minus infinity, and equals itself, so that the order is total whatever is given; `-0.0`
/// equals `0.0`. Scores of this crate are finite.
pub fn rank<B: Ord + Copy, K: Ord + Copy>(
    entries: &[Entry<B, K>],
    method: Method,
) -> Vec<Standing> {
    let mut order: Vec<(usize, &Entry<B, K>)> = entries.iter().enumerate().collect();
    order.sort_unstable_by(|(i, a), (j, b)| {
        a.board
            .cmp(&b.board)
            .then_with(|| descending(a.score).cmp(&descending(b.score)))
            .then_with(|| a.key.cmp(&b.key))
            .then_with(|| i.cmp(j))
    });
    let mut standings = Vec::with_capacity(order.len());
    for board in order.chunk_by(|(_, a), (_, b)| a.board == b.board) {
        let size = board.len() as u64;
        let mut better: u64 = 0;
        let ties = board.chunk_by(|(_, a), (_, b)| descending(a.score) == descending(b.score));
        for (better_scores, tied) in (0_u64..).zip(ties) {
            let alike = tied.len() as u64;
            let percentile = percentile(size - better - alike, alike - 1, size - 1);
            for (place, (entry, _)) in (0_u64..).zip(tied) {
                standings.push(Standing {
                    entry: *entry,
                    rank: 1 + match method {
                        Method::Competition => better,
                        Method::Dense => better_scores,
                        Method::Ordinal => better + place,
                    },
                    competition_rank: 1 + better,
                    percentile,
                    board_size: size,
                });
            }
            better += alike;
        }
    }
    standings
}

fn percentile(lower: u64, alike: u64, peers: u64) -> f64 {
    if peers == 0 {
        return 50.0;
    }
    100.0 * (lower as f64 + alike as f64 / 2.0) / peers as f64
}

/// An integer that is ordered as scores are, the highest first. (The total order of doubles, with both zeros and all
/// NaNs made one.)
fn descending(score: f64) -> u64 {
    if score.is_nan() {
        return u64::MAX;
    }
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(scores: &[f64], method: Method) -> Vec<(usize, u64)> {
        let entries: Vec<Entry<u8, usize>> = scores
            .iter()
            .enumerate()
            .map(|(key, score)| Entry {
                board: 0,
                key,
                score: *score,
            })
            .collect();
        rank(&entries, method)
            .iter()
            .map(|standing| (standing.entry, standing.rank))
            .collect()
    }

    #[test]
    fn ties() {
        let scores = [1.0, 3.0, 3.0, 2.0, 1.0];
        assert_eq!(
            board(&scores, Method::Competition),
            [(1, 1), (2, 1), (3, 3), (0, 4), (4, 4)]
        );
        assert_eq!(
            board(&scores, Method::Dense),
            [(1, 1), (2, 1), (3, 2), (0, 3), (4, 3)]
        );
        assert_eq!(
            board(&scores, Method::Ordinal),
            [(1, 1), (2, 2), (3, 3), (0, 4), (4, 5)]
        );
    }

    #[test]
    fn nothing_to_rank() {
        assert_eq!(board(&[], Method::Competition), []);
    }

    #[test]
    fn percentiles_of_peers() {
        let of = |scores: &[f64]| {
            let entries: Vec<Entry<u8, usize>> = scores
                .iter()
                .enumerate()
                .map(|(key, score)| Entry {
                    board: 0,
                    key,
                    score: *score,
                })
                .collect();
            rank(&entries, Method::Competition)
                .iter()
                .map(|standing| standing.percentile)
                .collect::<Vec<f64>>()
        };
        assert_eq!(of(&[7.0]), [50.0]);
        assert_eq!(of(&[7.0, 7.0, 7.0]), [50.0; 3]);
        assert_eq!(of(&[3.0, 2.0, 1.0]), [100.0, 50.0, 0.0]);
        assert_eq!(
            of(&[3.0, 3.0, 1.0, 0.0, 0.0]),
            [87.5, 87.5, 50.0, 12.5, 12.5]
        );
    }

    #[test]
    fn special_values_have_a_place() {
        let scores = [f64::NAN, -0.0, f64::NEG_INFINITY, 0.0, f64::INFINITY, -1.0];
        assert_eq!(
            board(&scores, Method::Competition),
            [(4, 1), (1, 2), (3, 2), (5, 4), (2, 5), (0, 6)]
        );
    }

    #[test]
    fn boards_do_not_mix() {
        let entry = |board, key, score| Entry { board, key, score };
        let entries = [
            entry(2, 'a', 1.0),
            entry(1, 'a', 5.0),
            entry(2, 'b', 9.0),
            entry(1, 'b', 5.0),
        ];
        let standings: Vec<_> = rank(&entries, Method::Competition)
            .iter()
            .map(|s| (s.entry, s.rank, s.board_size))
            .collect();
        assert_eq!(standings, [(1, 1, 2), (3, 1, 2), (2, 1, 2), (0, 2, 2)]);
    }

    #[test]
    fn names_of_methods() {
        for name in Method::NAMES.split(", ") {
            assert!(Method::from_name(name).is_some(), "{name}");
        }
        assert_eq!(Method::from_name("olympic"), None);
    }
}
