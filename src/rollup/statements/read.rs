//! Reading a rollup together with what has changed since.

use super::super::declarations::{Level, Rollup};
use super::super::time::DAY;
use super::{Scope, merged, start_of};

/// What a read has to look at beyond clean rollups; a shorter text where there is nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::struct_excessive_bools)] // independent of each other
pub struct Shape {
    pub one_agent: bool,
    /// Buckets have changed.
    pub keys: bool,
    /// Ranges have changed, or the window is not one of whole buckets.
    pub ranges: bool,
    /// Some of what changed is older than what is kept.
    pub floors: bool,
    /// By the minute.
    pub fine: bool,
}

impl Rollup {
    /// The rollup as raw rows would give it now: clean days, clean hours where a day is not whole or not clean, and
    /// the rest from raw rows. One row per key and step.
    ///
    /// $1 workspace, $2 agent, $3 and $4 the first bucket that is whole and the first after the last, $5 and $6 the same
    /// of days, $7 step or NULL, $8 and $9 changed hours as arrays of agent and hour, $10 and $11 ranges to be read from
    /// raw rows as arrays of starts and ends, $12 floors.
    pub fn read(&self, shape: Shape) -> String {
        let level = if shape.fine {
            self.minutes.unwrap_or(self.base)
        } else {
            self.base
        };
        let key_width = level.width.max(self.base.width);
        let mut parts = Vec::new();
        let days = self.days.filter(|_| !shape.fine);
        if let Some(days) = days {
            parts.push(self.clean(days, "p.bucket >= $5 AND p.bucket < $6", "days", DAY, shape));
            parts.push(self.clean(
                level,
                "p.bucket >= $3 AND p.bucket < least($5, $4)",
                "keys",
                key_width,
                shape,
            ));
            parts.push(self.clean(
                level,
                "p.bucket >= greatest($5, $6) AND p.bucket < $4",
                "keys",
                key_width,
                shape,
            ));
        } else {
            parts.push(self.clean(
                level,
                "p.bucket >= $3 AND p.bucket < $4",
                "keys",
                key_width,
                shape,
            ));
        }
        let floors = shape.floors.then_some("$12");
        let mut tables = String::new();
        if shape.keys {
            tables = self.changed_tables(key_width, days.is_some());
            if days.is_some() {
                parts.push(self.clean_hours_of_changed_days(level, shape));
            }
            parts.push(self.shaped(&format!(
                "SELECT q.* FROM keys AS k CROSS JOIN LATERAL ({}) AS q",
                self.contributions(&Scope::Keys, floors, level.width)
            )));
        }
        if shape.ranges {
            let scope = Scope::Range {
                lower: "x.lower",
                upper: "x.upper",
                of_row: if shape.one_agent {
                    "r.workspace_id = $1 AND r.agent_id = $2"
                } else {
                    "r.workspace_id = $1"
                },
            };
            parts.push(self.shaped(&format!(
                "SELECT q.* FROM unnest($10::timestamptz[], $11::timestamptz[]) AS x (lower, upper) \
                 CROSS JOIN LATERAL ({}) AS q",
                self.contributions(&scope, floors, level.width)
            )));
        }
        format!(
            "{tables}SELECT {key}pg_catalog.date_bin($7, p.bucket, 'epoch') AS bucket, {columns} \
             FROM ({rows}) AS p GROUP BY {group} HAVING {is_filled}",
            key = self.key("p."),
            columns = self.each_column(|column| format!("{} AS {}", merged(column), column.name)),
            rows = parts.join(" UNION ALL "),
            group = self.group_by(0),
            is_filled = self.is_filled(|name| format!("sum(p.{name}) > 0")),
        )
    }

    /// The tables `keys` and, where days are read, `days`: what changed, outside of the ranges.
    fn changed_tables(&self, key_width: i64, with_days: bool) -> String {
        let agent = if self.per_agent { "k.agent_id, " } else { "" };
        let bucket = start_of("k.bucket", key_width);
        let days = if with_days {
            let day = start_of("k.bucket", DAY);
            format!(
                ", days AS MATERIALIZED (SELECT DISTINCT {agent}{day} AS bucket FROM keys AS k \
                 WHERE k.bucket >= $5 AND k.bucket < $6)"
            )
        } else {
            String::new()
        };
        format!(
            "WITH keys AS MATERIALIZED (SELECT DISTINCT $1::uuid AS workspace_id, {agent}{bucket} AS bucket \
             FROM unnest($8::uuid[], $9::timestamptz[]) AS k (agent_id, bucket)){days} "
        )
    }

    fn shaped(&self, rows: &str) -> String {
        format!(
            "SELECT {}p.bucket, {} FROM ({rows}) AS p",
            self.key("p."),
            self.each_column(|column| format!("p.{}", column.name))
        )
    }

    fn of_question(shape: Shape) -> &'static str {
        if shape.one_agent {
            "p.workspace_id = $1 AND p.agent_id = $2"
        } else {
            "p.workspace_id = $1"
        }
    }

    fn outside_of_ranges(shape: Shape) -> &'static str {
        if shape.ranges {
            " AND NOT EXISTS (SELECT FROM unnest($10::timestamptz[], $11::timestamptz[]) AS x (lower, upper) \
             WHERE p.bucket >= x.lower AND p.bucket < x.upper)"
        } else {
            ""
        }
    }

    /// Rows of a level that nothing has changed since.
    fn clean(&self, level: Level, window: &str, changed: &str, key: i64, shape: Shape) -> String {
        let unchanged = if shape.keys {
            let agent = if self.per_agent {
                "k.agent_id = p.agent_id AND "
            } else {
                ""
            };
            let bucket = if level.width < key {
                start_of("p.bucket", key)
            } else {
                "p.bucket".to_owned()
            };
            format!(" AND NOT EXISTS (SELECT FROM {changed} AS k WHERE {agent}k.bucket = {bucket})")
        } else {
            String::new()
        };
        format!(
            "SELECT {}p.bucket, {} FROM analytics.{} AS p WHERE {} AND {window}{unchanged}{}",
            self.key("p."),
            self.each_column(|column| format!("p.{}", column.name)),
            level.table,
            Self::of_question(shape),
            Self::outside_of_ranges(shape),
        )
    }

    fn clean_hours_of_changed_days(&self, level: Level, shape: Shape) -> String {
        let (agent, day) = if self.per_agent {
            (
                "k.agent_id = p.agent_id AND ",
                "p.agent_id = d.agent_id AND ",
            )
        } else {
            ("", "")
        };
        format!(
            "SELECT {}p.bucket, {} FROM days AS d JOIN analytics.{} AS p ON p.workspace_id = $1 AND {day}p.bucket >= d.bucket \
             AND p.bucket < d.bucket + interval '24 hours' \
             WHERE NOT EXISTS (SELECT FROM keys AS k WHERE {agent}k.bucket = p.bucket){}",
            self.key("p."),
            self.each_column(|column| format!("p.{}", column.name)),
            level.table,
            Self::outside_of_ranges(shape),
        )
    }
}
