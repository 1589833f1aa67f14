//! The SQL that a declaration stands for.
//!
//! Everything is computed by one scheme: what each part of a rollup contributes comes as rows of the same shape, with
//! zero for the columns of other parts, and rows of the same key are merged. Raw rows, rollups of a finer level and what
//! a rollup holds of a time whose raw rows are gone differ only in where such rows come from.

mod read;
mod refresh;
mod verify;

pub use read::{Shape, Wanted};

use super::declarations::{
    Column, DAY, Entity, HOUR, MINUTE, Merge, Part, Rollup, SOURCES, Source, Sources,
};

/// Which buckets a statement is about.
enum Scope<'a> {
    /// Those of the table `keys`, row by row: look-ups in an index, whose cost follows what changed.
    Keys,
    /// A range of time: `lower`, `upper`, and a condition on the workspace and the entity of the row `r`.
    Range {
        lower: &'static str,
        upper: &'static str,
        of_row: &'a str,
    },
}

fn width(microseconds: i64) -> &'static str {
    match microseconds {
        DAY => "interval '24 hours'",
        HOUR => "interval '1 hour'",
        MINUTE => "interval '1 minute'",
        _ => "NULL",
    }
}

fn start_of(time: &str, microseconds: i64) -> String {
    format!(
        "pg_catalog.date_bin({}, {time}, 'epoch')",
        width(microseconds)
    )
}

fn zero(column: &Column) -> String {
    match column.merge {
        Merge::Sum => format!("0::{}", column.kind),
        _ => format!("NULL::{}", column.kind),
    }
}

fn merged(column: &Column) -> String {
    let (name, kind) = (column.name, column.kind);
    match column.merge {
        Merge::Sum => format!("coalesce(sum(p.{name}), 0)::{kind}"),
        Merge::Sketch => format!("analytics.rollup(p.{name})"),
        Merge::Least => format!("min(p.{name})"),
        Merge::Greatest if kind == "bigint" => format!("coalesce(max(p.{name}), 0)"),
        Merge::Greatest => format!("max(p.{name})"),
    }
}

/// The floor of a source, in the parameter that holds all floors in the order of `SOURCES`.
fn floor_of(source: &Source, floors: &str) -> String {
    let place = SOURCES.iter().take_while(|each| each.bit != source.bit);
    format!("(({floors}::timestamptz[])[{}])", place.count() + 1)
}

impl Rollup {
    fn each_column(&self, shape: impl Fn(&Column) -> String) -> String {
        self.columns().map(shape).collect::<Vec<_>>().join(", ")
    }

    /// The key but for workspace and bucket.
    fn key_names(&self) -> impl Iterator<Item = &'static str> {
        let dimensions = self.dimensions.iter().map(|dimension| dimension.name);
        self.entity.map(Entity::id).into_iter().chain(dimensions)
    }

    /// The same, each column with a prefix, and a comma behind it.
    fn key(&self, prefix: &str) -> String {
        self.key_names()
            .map(|name| format!("{prefix}{name}, "))
            .collect::<Vec<_>>()
            .concat()
    }

    /// The same, computed from the raw row `r`.
    fn raw_key(&self) -> String {
        let entity = self.entity.map(|entity| format!("r.{}, ", entity.id()));
        let dimensions = self
            .dimensions
            .iter()
            .map(|dimension| format!("{} AS {}, ", dimension.raw, dimension.name));
        entity.into_iter().chain(dimensions).collect()
    }

    /// Raw rows are grouped by this first, so that the most of a minute can be told.
    fn grain(&self) -> i64 {
        self.minutes.map_or(self.base.width, |level| level.width)
    }

    /// Rows of one shape: key, bucket, columns. From raw rows, and from the base where they are gone; of minutes,
    /// nothing is left then.
    fn contributions(&self, scope: &Scope, floors: Option<&str>, level: i64) -> String {
        let mut selects = Vec::new();
        for part in self.parts {
            selects.push(self.raw_rows(part, scope, floors));
            if let Some(floors) = floors
                && level >= self.base.width
            {
                selects.push(self.frozen_rows(part, scope, floors));
            }
        }
        selects.join(" UNION ALL ")
    }

    /// Whether two rows are of the same entity, with `AND` before it; nothing where the key has none.
    fn same_entity(&self, left: &str, right: &str) -> String {
        self.entity.map_or_else(String::new, |entity| {
            format!("AND {left}.{id} = {right}.{id} ", id = entity.id())
        })
    }

    /// The entity of the row `k` of changed buckets, as it is called in the key, and a comma.
    fn changed_entity(&self) -> String {
        self.entity.map_or_else(String::new, |entity| {
            format!("k.entity_id AS {}, ", entity.id())
        })
    }

    /// Whether a row lies within the bucket `k`, in a form that an index serves.
    fn within_key(&self, row: &str, time: &str, key_width: i64) -> String {
        format!(
            "{row}.workspace_id = k.workspace_id {}AND {time} >= k.bucket AND {time} < k.bucket + {}",
            self.same_entity(row, "k"),
            width(key_width)
        )
    }

    fn raw_rows(&self, part: &Part, scope: &Scope, floors: Option<&str>) -> String {
        let (table, time) = (part.source.table, part.source.time());
        let columns = self.columns_of(part, |column| format!("{} AS {}", column.raw, column.name));
        let mut condition = match scope {
            Scope::Keys => self.within_key("r", &time, self.base.width),
            Scope::Range {
                lower,
                upper,
                of_row,
            } => format!("{of_row} AND {time} >= {lower} AND {time} < {upper}"),
        };
        if let Some(floors) = floors {
            condition = format!(
                "{condition} AND {time} >= {}",
                floor_of(&part.source, floors)
            );
        }
        if let Some(counted) = self.condition {
            condition = format!("{condition} AND {counted}");
        }
        let (key, bucket) = (self.raw_key(), start_of(&time, self.grain()));
        let grouped = self.group_by(1);
        format!(
            "SELECT r.workspace_id, {key}{bucket} AS bucket, {columns} FROM analytics.{table} AS r \
             WHERE {condition} GROUP BY {grouped}"
        )
    }

    /// What the rollup holds of a part below its floor, where it cannot be computed any more.
    fn frozen_rows(&self, part: &Part, scope: &Scope, floors: &str) -> String {
        let (table, key) = (self.base.table, self.key("r."));
        let floor = floor_of(&part.source, floors);
        let columns = self.columns_of(part, |column| format!("r.{}", column.name));
        let condition = match scope {
            Scope::Keys => format!(
                "r.workspace_id = k.workspace_id {}AND r.bucket = k.bucket AND k.bucket < {floor}",
                self.same_entity("r", "k")
            ),
            Scope::Range {
                lower,
                upper,
                of_row,
            } => format!("{of_row} AND r.bucket >= {lower} AND r.bucket < least({upper}, {floor})"),
        };
        format!(
            "SELECT r.workspace_id, {key}r.bucket, {columns} FROM analytics.{table} AS r WHERE {condition}"
        )
    }

    /// All columns, those of other parts being zero.
    fn columns_of(&self, part: &Part, shape: impl Fn(&Column) -> String) -> String {
        let of_part = |each: &Part| each.source.bit == part.source.bit;
        let columns = self.parts.iter().flat_map(|each| {
            let is_it = of_part(each);
            each.columns.iter().map(move |column| (is_it, column))
        });
        columns
            .map(|(is_it, column)| {
                if is_it {
                    shape(column)
                } else {
                    format!("{} AS {}", zero(column), column.name)
                }
            })
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Positions of the first columns of a select: workspace, key, and `more`.
    fn group_by(&self, more: usize) -> String {
        let count = 1 + usize::from(self.entity.is_some()) + self.dimensions.len() + more;
        (1..=count)
            .map(|place| place.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn is_filled(&self, shape: impl Fn(&str) -> String) -> String {
        let counts: Vec<String> = self
            .parts
            .iter()
            .filter_map(|part| part.columns.first())
            .map(|column| shape(column.name))
            .collect();
        counts.join(" OR ")
    }

    /// Rows of one shape become one row per key and bucket.
    fn merge(&self, rows: &str, bucket: &str) -> String {
        let (key, group) = (self.key("p."), self.group_by(1));
        let columns = self.each_column(|column| format!("{} AS {}", merged(column), column.name));
        let is_filled = self.is_filled(|name| format!("sum(p.{name}) > 0"));
        format!(
            "SELECT p.workspace_id, {key}{bucket} AS bucket, {columns} FROM ({rows}) AS p GROUP BY {group} HAVING {is_filled}"
        )
    }
}

/// Days in a range of time that may hold something of these sources, from raw rows and from rollups: $1 and $2 the
/// range, which may be infinite.
pub fn days_of(sources: Sources, rollups: &[&Rollup]) -> String {
    let mut selects = Vec::new();
    for source in SOURCES.iter().filter(|source| source.bit & sources != 0) {
        let (table, time) = (source.table, source.time());
        let day = start_of(&time, DAY);
        selects.push(format!(
            "SELECT {day} AS day FROM analytics.{table} AS r WHERE {time} >= $1 AND {time} < $2"
        ));
    }
    for rollup in rollups {
        for level in rollup.levels() {
            let day = start_of("r.bucket", DAY);
            selects.push(format!(
                "SELECT {day} AS day FROM analytics.{} AS r WHERE r.bucket >= $1 AND r.bucket < $2",
                level.table
            ));
        }
    }
    selects.join(" UNION ")
}
