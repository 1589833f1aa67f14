//! Reading a rollup together with what has changed since.

use super::super::declarations::{Column, DAY, Entity, Level, Rollup};
use super::{Scope, merged, start_of};

/// Which columns a read gives, a bit each in their order; the others are NULL, and nothing is spent on them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wanted(u64);

impl Wanted {
    pub const ALL: Self = Self(u64::MAX);
    pub const NONE: Self = Self(0);

    #[must_use]
    pub const fn with(self, place: usize) -> Self {
        Self(self.0 | 1 << place)
    }

    const fn has(self, place: usize) -> bool {
        self.0 & 1 << place != 0
    }
}

/// What a read has to look at beyond clean rollups; a shorter text where there is nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::struct_excessive_bools)] // independent of each other
pub struct Shape {
    pub one_entity: bool,
    /// Buckets have changed.
    pub keys: bool,
    /// Ranges have changed, or the window is not one of whole buckets.
    pub ranges: bool,
    /// Some of the ranges lie among the whole buckets.
    pub holes: bool,
    /// Some of what changed is older than what is kept.
    pub floors: bool,
    /// By the minute.
    pub fine: bool,
    /// A row for each entity, where one is part of the key, and not one for all.
    pub by_entity: bool,
    pub wanted: Wanted,
    /// The step, where there are buckets of this width: clean ones need not be merged.
    pub direct: Option<i64>,
}

impl Rollup {
    /// The rollup as raw rows would give it now: clean days, clean hours where a day is not whole or not clean, and
    /// the rest from raw rows. One row per key and step.
    ///
    /// $1 workspace, $2 agent or user, $3 and $4 the first bucket that is whole and the first after the last, $5 and $6 the same
    /// of days, $7 step or NULL, $8 and $9 changed hours as arrays of entity and hour, $10 and $11 ranges to be read from
    /// raw rows as arrays of starts and ends, $12 floors.
    pub fn read(&self, shape: Shape) -> String {
        let level = match self.minutes {
            Some(minutes) if shape.fine => minutes,
            _ => self.base,
        };
        let days = self
            .days
            .filter(|_| !shape.fine && shape.direct.is_none_or(|width| width >= DAY));
        let (direct, clean): (Vec<_>, Vec<_>) = self
            .clean(level, days, shape)
            .into_iter()
            .partition(|(width, _)| shape.direct == Some(*width));
        let mut parts: Vec<String> = clean.iter().map(|(_, from)| self.unmerged(from)).collect();
        let mut tables = String::new();
        if shape.keys {
            let key_width = level.width.max(self.base.width);
            tables = self.changed_tables(key_width, days.is_some());
            if days.is_some() {
                parts.push(self.clean_hours_of_changed_days(level, shape));
            }
        }
        parts.extend(self.raw(level, shape));
        let mut selects: Vec<String> = direct
            .iter()
            .map(|(_, from)| self.unmerged_wanted(from, shape))
            .collect();
        if !parts.is_empty() {
            selects.push(self.merged(&parts, shape));
        }
        format!("{tables}{}", selects.join(" UNION ALL "))
    }

    /// Rows of rollups that nothing has changed since: `FROM ... WHERE ...`, and how wide the buckets are.
    fn clean(&self, level: Level, days: Option<Level>, shape: Shape) -> Vec<(i64, String)> {
        let key_width = level.width.max(self.base.width);
        let clean = |window: &str| {
            (
                level.width,
                self.clean_rows(level, window, "keys", key_width, shape),
            )
        };
        let Some(days) = days else {
            return vec![clean("p.bucket >= $3 AND p.bucket < $4")];
        };
        let window = "p.bucket >= $5 AND p.bucket < $6";
        vec![
            (
                days.width,
                self.clean_rows(days, window, "days", DAY, shape),
            ),
            clean("p.bucket >= $3 AND p.bucket < least($5, $4)"),
            clean("p.bucket >= greatest($5, $6) AND p.bucket < $4"),
        ]
    }

    /// What has changed, and what lies at the edges of the window, from raw rows.
    fn raw(&self, level: Level, shape: Shape) -> Vec<String> {
        let floors = shape.floors.then_some("$12");
        let mut parts = Vec::new();
        if shape.keys {
            parts.push(self.shaped(&format!(
                "SELECT q.* FROM keys AS k CROSS JOIN LATERAL ({}) AS q",
                self.contributions(&Scope::Keys, floors, level.width)
            )));
        }
        if shape.ranges {
            let scope = Scope::Range {
                lower: "x.lower",
                upper: "x.upper",
                of_row: &self.of_question("r", shape),
            };
            parts.push(self.shaped(&format!(
                "SELECT q.* FROM unnest($10::timestamptz[], $11::timestamptz[]) AS x (lower, upper) \
                 CROSS JOIN LATERAL ({}) AS q",
                self.contributions(&scope, floors, level.width)
            )));
        }
        parts
    }

    fn unmerged(&self, from: &str) -> String {
        format!(
            "SELECT {}p.bucket, {} {from}",
            self.key("p."),
            self.each_column(|column| format!("p.{}", column.name))
        )
    }

    /// Rows that are answers as they are: each has a key and a step of its own.
    fn unmerged_wanted(&self, from: &str, shape: Shape) -> String {
        let columns = self.wanted_columns(shape, |column| format!("p.{}", column.name));
        format!("SELECT {}p.bucket, {columns} {from}", self.key("p."))
    }

    fn merged(&self, parts: &[String], shape: Shape) -> String {
        let key = self.key("p.");
        format!(
            "SELECT {key}pg_catalog.date_bin($7, p.bucket, 'epoch') AS bucket, {columns} \
             FROM ({rows}) AS p GROUP BY {group} HAVING {is_filled}",
            key = match self.entity.map(Entity::id) {
                Some(id) if !shape.by_entity =>
                    key.replacen(&format!("p.{id}"), &format!("NULL::uuid AS {id}"), 1),
                _ => key,
            },
            columns = self.wanted_columns(shape, merged),
            rows = parts.join(" UNION ALL "),
            group = self.group_by(0),
            is_filled = self.is_filled(|name| format!("sum(p.{name}) > 0")),
        )
    }

    /// The columns of a read, computed from the row `p` where they are wanted.
    fn wanted_columns(&self, shape: Shape, value: impl Fn(&Column) -> String) -> String {
        let mut columns: Vec<String> = self
            .columns()
            .enumerate()
            .map(|(place, column)| {
                let value = if shape.wanted.has(place) {
                    value(column)
                } else {
                    format!("NULL::{}", column.kind)
                };
                format!("{value} AS {}", column.name)
            })
            .collect();
        if let Some(entity) = self.entity {
            let number = if !shape.wanted.has(columns.len()) {
                "NULL::bigint".to_owned()
            } else if shape.by_entity {
                "1::bigint".to_owned()
            } else {
                format!(
                    "analytics_internal.count_agents(p.{}) FILTER (WHERE {})",
                    entity.id(),
                    self.is_active()
                )
            };
            columns.push(format!("{number} AS {}", entity.count()));
        }
        columns.join(", ")
    }

    /// Whether the row `p` has anything of the first source.
    fn is_active(&self) -> String {
        let first = self.columns().next().map_or("", |column| column.name);
        format!("p.{first} > 0")
    }

    /// The tables `keys` and, where days are read, `days`: what changed, outside of the ranges.
    fn changed_tables(&self, key_width: i64, with_days: bool) -> String {
        let (entity, bucket) = (self.changed_entity(), start_of("k.bucket", key_width));
        let days = if with_days {
            let day = start_of("k.bucket", DAY);
            format!(
                ", days AS MATERIALIZED (SELECT DISTINCT {id}{day} AS bucket FROM keys AS k \
                 WHERE k.bucket >= $5 AND k.bucket < $6)",
                id = self
                    .entity
                    .map_or_else(String::new, |entity| format!("k.{}, ", entity.id()))
            )
        } else {
            String::new()
        };
        format!(
            "WITH keys AS MATERIALIZED (SELECT DISTINCT $1::uuid AS workspace_id, {entity}{bucket} AS bucket \
             FROM unnest($8::uuid[], $9::timestamptz[]) AS k (entity_id, bucket)){days} "
        )
    }

    fn shaped(&self, rows: &str) -> String {
        format!(
            "SELECT {}p.bucket, {} FROM ({rows}) AS p",
            self.key("p."),
            self.each_column(|column| format!("p.{}", column.name))
        )
    }

    fn of_question(&self, row: &str, shape: Shape) -> String {
        match self.entity {
            Some(entity) if shape.one_entity => {
                format!("{row}.workspace_id = $1 AND {row}.{} = $2", entity.id())
            }
            _ => format!("{row}.workspace_id = $1"),
        }
    }

    fn outside_of_ranges(shape: Shape) -> &'static str {
        if shape.holes {
            " AND NOT EXISTS (SELECT FROM unnest($10::timestamptz[], $11::timestamptz[]) AS x (lower, upper) \
             WHERE p.bucket >= x.lower AND p.bucket < x.upper)"
        } else {
            ""
        }
    }

    /// Rows of a level that nothing has changed since.
    fn clean_rows(
        &self,
        level: Level,
        window: &str,
        changed: &str,
        key: i64,
        shape: Shape,
    ) -> String {
        let unchanged = if shape.keys {
            let bucket = if level.width < key {
                start_of("p.bucket", key)
            } else {
                "p.bucket".to_owned()
            };
            format!(
                " AND NOT EXISTS (SELECT FROM {changed} AS k WHERE k.bucket = {bucket} {})",
                self.same_entity("k", "p")
            )
        } else {
            String::new()
        };
        format!(
            "FROM analytics.{} AS p WHERE {} AND {window}{unchanged}{}",
            level.table,
            self.of_question("p", shape),
            Self::outside_of_ranges(shape),
        )
    }

    fn clean_hours_of_changed_days(&self, level: Level, shape: Shape) -> String {
        self.unmerged(&format!(
            "FROM days AS d JOIN analytics.{} AS p ON p.workspace_id = $1 {day}AND p.bucket >= d.bucket \
             AND p.bucket < d.bucket + interval '24 hours' \
             WHERE NOT EXISTS (SELECT FROM keys AS k WHERE k.bucket = p.bucket {same}){}",
            level.table,
            Self::outside_of_ranges(shape),
            day = self.same_entity("p", "d"),
            same = self.same_entity("k", "p"),
        ))
    }
}
