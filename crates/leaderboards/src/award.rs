//! What a standing is worth.

/// The first three ranks of a board of agents. Ties share a badge: ranks 1, 1, 3 are two gold and one bronze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Badge {
    /// Rank 1.
    Gold,
    /// Rank 2.
    Silver,
    /// Rank 3.
    Bronze,
}

impl Badge {
    /// Being first with nothing is no merit: a badge needs a score above zero. `rank` is a competition rank.
    pub fn of(rank: u64, score: f64) -> Option<Self> {
        if score <= 0.0 {
            return None;
        }
        match rank {
            1 => Some(Self::Gold),
            2 => Some(Self::Silver),
            3 => Some(Self::Bronze),
            _ => None,
        }
    }

    /// The word in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gold => "gold",
            Self::Silver => "silver",
            Self::Bronze => "bronze",
        }
    }
}

/// Class of a workspace by its percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Any percentile.
    Bronze,
    /// From 60 on.
    Silver,
    /// From 80 on.
    Gold,
    /// From 95 on.
    Platinum,
}

impl Tier {
    /// The tier of a percentile of 0 to 100.
    pub fn of(percentile: f64) -> Self {
        if percentile >= 95.0 {
            Self::Platinum
        } else if percentile >= 80.0 {
            Self::Gold
        } else if percentile >= 60.0 {
            Self::Silver
        } else {
            Self::Bronze
        }
    }

    /// The word in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platinum => "platinum",
            Self::Gold => "gold",
            Self::Silver => "silver",
            Self::Bronze => "bronze",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badges() {
        let of = |rank| Badge::of(rank, 1.0).map(Badge::name);
        assert_eq!(
            [1, 2, 3, 4, 0].map(of),
            [Some("gold"), Some("silver"), Some("bronze"), None, None]
        );
        assert_eq!(Badge::of(1, 0.0), None);
        assert_eq!(Badge::of(1, -1.0), None);
    }

    #[test]
    fn tiers() {
        let of = |percentile| Tier::of(percentile).name();
        assert_eq!(
            [100.0, 95.0, 94.99, 80.0, 79.99, 60.0, 59.99, 0.0].map(of),
            [
                "platinum", "platinum", "gold", "gold", "silver", "silver", "bronze", "bronze"
            ]
        );
    }
}
