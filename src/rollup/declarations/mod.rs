//! What the engine is told: sources of rows, and the rollups that are computed from them.
//!
//! A new source is a table in a migration and an entry in `sources`; a new rollup is a table for each of its levels in a
//! migration and an entry in `rollups`; a new column is a migration and a line there. Everything else follows: triggers,
//! indexes, floors, statements, and the functions `NAME_buckets` with their SQL.
//!
//! Nothing here knows of the rest of the extension: the build script includes these files, too, and writes that SQL.

mod rollups;
mod sources;
#[cfg(feature = "pg_test")]
mod trial;

pub use rollups::ROLLUPS;
pub use sources::{RUNS, SOURCES};

/// Microseconds, as Postgres counts time.
pub const MINUTE: i64 = 60_000_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// Some of the sources: the sum of their bits.
pub type Sources = i32;

/// Columns that the time of a row can be in.
pub const MOST_TIMES: usize = 2;

/// Whose a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entity {
    Agent,
    User,
}

/// Rows of a table, by one of their times.
pub struct Source {
    /// What stands for it in the log of changes and in its triggers. It never changes.
    pub bit: Sources,
    pub table: &'static str,
    /// What its buckets are noted and looked up by; none where rows belong to the workspace as a whole.
    pub entity: Option<Entity>,
    /// Columns of type timestamptz: the time of a row is the first of them that is not NULL. A row that has none does not
    /// count yet.
    pub times: &'static [&'static str],
    /// The name of its row trigger: a table has one for each of its sources.
    pub trigger: &'static str,
    /// Whether partitions may come and go, which fires no trigger. They are ranges of the only time.
    pub is_partitioned: bool,
}

/// How two values of a column become one.
#[derive(Clone, Copy)]
pub enum Merge {
    Sum,
    Sketch,
    Least,
    Greatest,
}

/// `raw` is an aggregate over the rows `r` of a source; `kind` is the type of the column.
pub struct Column {
    pub name: &'static str,
    pub raw: &'static str,
    pub kind: &'static str,
    pub merge: Merge,
}

/// What one source contributes to a bucket; the first column counts its rows.
pub struct Part {
    pub source: Source,
    pub columns: &'static [Column],
}

/// A further column of the key, computed from the row `r`; its type is `kind`.
pub struct Dimension {
    pub name: &'static str,
    pub raw: &'static str,
    pub kind: &'static str,
}

/// A table with buckets of one width, in microseconds.
#[derive(Clone, Copy)]
pub struct Level {
    pub table: &'static str,
    pub width: i64,
}

pub struct Rollup {
    pub name: &'static str,
    /// The comment on the function that reads it, and how many rows the planner is told that it gives.
    pub comment: &'static str,
    pub rows: u32,
    /// What is part of the key: that of all its sources, or nothing, and then a bucket is of the whole workspace. Where
    /// the column of a source may be NULL, `condition` leaves such rows out.
    pub entity: Option<Entity>,
    pub dimensions: &'static [Dimension],
    /// Which raw rows `r` count at all.
    pub condition: Option<&'static str>,
    /// Computed from raw rows.
    pub base: Level,
    /// Merged from the base, an hour each becoming a day.
    pub days: Option<Level>,
    /// Minutes of the last days only; where they exist, raw rows are first grouped by minute.
    pub minutes: Option<Level>,
    pub parts: &'static [Part],
    /// Columns for people, computed from those of the row `f`.
    pub derived: &'static [(&'static str, &'static str)],
}

/// How long minutes are kept, and how much longer until they are removed, so that a read never misses one.
pub const MINUTES_KEPT: i64 = 48 * HOUR;
pub const MINUTES_SLACK: i64 = 24 * HOUR;

/// A source that is declared wrongly does not compile.
pub const ALL_SOURCES: Sources = {
    let mut all = 0;
    let mut place = 0;
    while place < SOURCES.len() {
        let Source { bit, times, .. } = SOURCES[place];
        assert!(bit.count_ones() == 1 && all & bit == 0, "a bit of its own");
        assert!(
            !times.is_empty() && times.len() <= MOST_TIMES,
            "one time or two"
        );
        all |= bit;
        place += 1;
    }
    all
};

/// The sources that are rows of a table.
pub fn sources_of(table: &str) -> Sources {
    let of_table = SOURCES.iter().filter(|source| source.table == table);
    of_table.fold(0, |all, source| all | source.bit)
}

impl Entity {
    /// The column of its id, and the argument of a read that picks one.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Agent => "agent_id",
            Self::User => "user_id",
        }
    }

    /// The argument that asks for a row for each, and not one for all.
    pub const fn by(self) -> &'static str {
        match self {
            Self::Agent => "by_agent",
            Self::User => "by_user",
        }
    }

    /// The last column of a read: how many there are.
    pub const fn count(self) -> &'static str {
        match self {
            Self::Agent => "agents",
            Self::User => "users",
        }
    }
}

impl Source {
    /// The time of the row `r`.
    pub fn time(&self) -> String {
        let columns: Vec<String> = self.times.iter().map(|name| format!("r.{name}")).collect();
        match columns.as_slice() {
            [only] => only.clone(),
            _ => format!("coalesce({})", columns.join(", ")),
        }
    }
}

impl Rollup {
    /// What it is computed from.
    pub fn sources(&self) -> Sources {
        self.parts.iter().fold(0, |all, part| all | part.source.bit)
    }

    /// Its tables, those first that others are computed from.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        self.minutes.into_iter().chain([self.base]).chain(self.days)
    }

    pub fn columns(&self) -> impl Iterator<Item = &'static Column> {
        self.parts.iter().flat_map(|part| part.columns)
    }

    /// The columns of a read behind its key, in their order.
    pub fn read_columns(&self) -> impl Iterator<Item = &'static str> {
        self.columns()
            .map(|column| column.name)
            .chain(self.entity.map(Entity::count))
    }
}
