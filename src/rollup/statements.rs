//! The SQL that a declaration stands for.
//!
//! Everything is computed by one scheme: what each part of a rollup contributes comes as rows of the same shape, with
//! zero for the columns of other parts, and rows of the same key are merged. Raw rows, rollups of a finer level and what
//! a rollup holds of a time whose raw rows are gone differ only in where such rows come from.

use super::capture::Sources;
use super::declarations::{Column, Level, Merge, Part, Rollup, SOURCES, Source};
use super::time::{DAY, HOUR, MINUTE};

/// Which buckets a statement is about.
enum Scope {
    /// Those of the table `keys`, row by row: look-ups in an index, whose cost follows what changed.
    Keys,
    /// A range of time: `lower`, `upper`, and a condition on the workspace and the agent of the row `r`.
    Range {
        lower: &'static str,
        upper: &'static str,
        of_row: &'static str,
    },
}

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
    /// The tables that it is computed from.
    pub fn sources(&self) -> Sources {
        self.parts.iter().fold(0, |all, part| all | part.source.bit)
    }

    /// Its tables, those first that others are computed from.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        self.minutes.into_iter().chain([self.base]).chain(self.days)
    }

    fn columns(&self) -> impl Iterator<Item = &'static Column> {
        self.parts.iter().flat_map(|part| part.columns)
    }

    fn each_column(&self, shape: impl Fn(&Column) -> String) -> String {
        self.columns().map(shape).collect::<Vec<_>>().join(", ")
    }

    /// The key but for workspace and bucket.
    fn key_names(&self) -> impl Iterator<Item = &'static str> {
        let agent = self.per_agent.then_some("agent_id");
        let dimensions = self.dimensions.iter().map(|dimension| dimension.name);
        agent.into_iter().chain(dimensions)
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
        let agent = self.per_agent.then(|| "r.agent_id, ".to_owned());
        let dimensions = self
            .dimensions
            .iter()
            .map(|dimension| format!("{} AS {}, ", dimension.raw, dimension.name));
        agent.into_iter().chain(dimensions).collect()
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

    /// `AND` and a condition that two rows are of the same agent, where the agent is part of the key.
    fn same_agent(&self, left: &str, right: &str) -> String {
        if self.per_agent {
            format!("AND {left}.agent_id = {right}.agent_id ")
        } else {
            String::new()
        }
    }

    /// Whether a row lies within the bucket `k`, in a form that an index serves.
    fn within_key(&self, row: &str, time: &str, key_width: i64) -> String {
        format!(
            "{row}.workspace_id = k.workspace_id {}AND {time} >= k.bucket AND {time} < k.bucket + {}",
            self.same_agent(row, "k"),
            width(key_width)
        )
    }

    fn raw_rows(&self, part: &Part, scope: &Scope, floors: Option<&str>) -> String {
        let (table, time) = (part.source.table, part.source.time);
        let columns = self.columns_of(part, |column| format!("{} AS {}", column.raw, column.name));
        let mut condition = match scope {
            Scope::Keys => self.within_key("r", time, self.base.width),
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
        let (key, bucket) = (self.raw_key(), start_of(time, self.grain()));
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
                self.same_agent("r", "k")
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
        let count = 1 + usize::from(self.per_agent) + self.dimensions.len() + more;
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

    /// The table `keys`: buckets of a level that contain the changed hours $1 to $4, arrays of workspace, agent, hour
    /// and changed sources.
    fn changed_keys(&self, level: i64) -> String {
        let agent = if self.per_agent { "k.agent_id, " } else { "" };
        let (sources, bucket) = (self.sources(), start_of("k.bucket", level));
        format!(
            "SELECT DISTINCT k.workspace_id, {agent}{bucket} AS bucket \
             FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::integer[]) \
                  AS k (workspace_id, agent_id, bucket, sources) \
             WHERE k.sources & {sources} <> 0"
        )
    }

    /// Recomputes what a batch changed at one level: $1 to $4 as in `changed_keys`, $5 floors, $6 the first minute that
    /// is kept. The base comes from raw rows, days come from the base, minutes from raw rows once more.
    pub fn refresh_keys(&self, level: Level, has_floors: bool) -> String {
        let key_width = level.width.max(self.base.width);
        let mut keys = self.changed_keys(key_width);
        if level.width < key_width {
            keys = format!("{keys} AND k.bucket >= $6");
        }
        let old = if level.width < key_width {
            self.within_key("t", "t.bucket", key_width)
        } else {
            // Of the same bucket, and in a form that finds it by its key.
            format!(
                "t.workspace_id = k.workspace_id {}AND t.bucket = k.bucket",
                self.same_agent("t", "k")
            )
        };
        let fresh = self.computed(level, has_floors.then_some("$5"));
        self.replace(
            level,
            &format!("keys AS MATERIALIZED ({keys}), "),
            &fresh,
            &format!("JOIN keys AS k ON {old}"),
            "(SELECT count(*) FROM keys)",
        )
    }

    /// The buckets `keys` of a level as they should be.
    fn computed(&self, level: Level, floors: Option<&str>) -> String {
        let rows = if level.width > self.base.width {
            format!(
                "SELECT r.* FROM analytics.{} AS r WHERE {}",
                self.base.table,
                self.within_key("r", "r.bucket", level.width)
            )
        } else {
            self.contributions(&Scope::Keys, floors, level.width)
        };
        self.merge(
            &format!("SELECT p.* FROM keys AS k CROSS JOIN LATERAL ({rows}) AS p"),
            &start_of("p.bucket", level.width),
        )
    }

    /// Recomputes a range of whole days at one level: $1 and $2 the range, $3 the workspaces, $4 floors, $5 the first
    /// minute that is kept.
    pub fn refresh_range(&self, level: Level, has_floors: bool) -> String {
        let scope = Scope::Range {
            lower: if level.width < self.base.width {
                "greatest($1, $5)"
            } else {
                "$1"
            },
            upper: "$2",
            of_row: "r.workspace_id = ANY ($3)",
        };
        let rows = if level.width > self.base.width {
            format!(
                "SELECT r.* FROM analytics.{} AS r WHERE r.workspace_id = ANY ($3) AND r.bucket >= $1 AND r.bucket < $2",
                self.base.table
            )
        } else {
            self.contributions(&scope, has_floors.then_some("$4"), level.width)
        };
        let fresh = self.merge(&rows, &start_of("p.bucket", level.width));
        self.replace(
            level,
            "",
            &fresh,
            "WHERE t.bucket >= $1 AND t.bucket < $2",
            "(SELECT count(DISTINCT f.bucket) FROM fresh AS f)",
        )
    }

    /// Puts `fresh` into the table of a level in place of what was there. Returns how many buckets, rows read,
    /// written and removed.
    fn replace(
        &self,
        level: Level,
        keys: &str,
        fresh: &str,
        old: &str,
        bucket_count: &str,
    ) -> String {
        let table = level.table;
        let key: Vec<&str> = ["workspace_id", "bucket"]
            .into_iter()
            .chain(self.key_names())
            .collect();
        let values: Vec<&str> = self
            .columns()
            .map(|column| column.name)
            .chain(self.derived.iter().map(|(name, _)| *name))
            .collect();
        let names = [key.as_slice(), values.as_slice()].concat().join(", ");
        let updates = values
            .iter()
            .map(|name| format!("{name} = excluded.{name}"))
            .collect::<Vec<_>>()
            .join(", ");
        let derived = self
            .derived
            .iter()
            .map(|(name, expression)| format!(", {expression} AS {name}"))
            .collect::<Vec<_>>()
            .concat();
        let same = key
            .iter()
            .map(|name| format!("g.{name} = t.{name}"))
            .collect::<Vec<_>>()
            .join(" AND ");
        let [old_key, fresh_key] = ["t", "f"].map(|row| {
            key.iter()
                .map(|name| format!("{row}.{name}"))
                .collect::<Vec<_>>()
                .join(", ")
        });
        // EXCEPT, because an anti join by some of the key's columns would be quadratic, and planners have chosen it.
        let read = self
            .parts
            .iter()
            .filter_map(|part| part.columns.first())
            .map(|column| format!("f.{}", column.name))
            .collect::<Vec<_>>()
            .join(" + ");
        format!(
            "WITH {keys}fresh AS MATERIALIZED ({fresh}), gone AS MATERIALIZED (
                 SELECT {old_key} FROM analytics.{table} AS t {old} EXCEPT SELECT {fresh_key} FROM fresh AS f
             ), removed AS (
                 DELETE FROM analytics.{table} AS t USING gone AS g WHERE {same} RETURNING 1
             ), written AS (
                 INSERT INTO analytics.{table} ({names})
                 SELECT {names} FROM (SELECT f.*{derived} FROM fresh AS f) AS f
                 ON CONFLICT ({conflict}) DO UPDATE SET {updates}
                 RETURNING 1
             )
             SELECT {bucket_count}, (SELECT coalesce(sum({read}), 0)::bigint FROM fresh AS f),
                    (SELECT count(*) FROM written), (SELECT count(*) FROM removed)",
            conflict = key.join(", "),
        )
    }

    /// Where a level differs from what it should be: key, and the row as computed and as stored, each as a document
    /// without the columns for people. $1 to $4 as in `changed_keys`, $5 floors.
    pub fn differences(&self, level: Level) -> String {
        let keys = self.changed_keys(level.width);
        let fresh = self.computed(level, Some("$5"));
        let stored = format!(
            "SELECT t.workspace_id, {}t.bucket, {} FROM analytics.{} AS t JOIN keys AS k \
             ON t.workspace_id = k.workspace_id {}AND t.bucket = k.bucket",
            self.key("t."),
            self.each_column(|column| format!("t.{}", column.name)),
            level.table,
            self.same_agent("t", "k"),
        );
        self.compare(&keys, &fresh, &stored)
    }

    /// Some hours of agents, at most $1 of raw rows and $1 of the rollup, that nothing has changed since.
    pub fn sample(&self) -> String {
        let mut selects: Vec<String> = self
            .parts
            .iter()
            .map(|part| {
                let hour = start_of(part.source.time, HOUR);
                format!(
                    "(SELECT r.workspace_id, r.agent_id, {hour} AS bucket FROM analytics.{} AS r WHERE {} IS NOT NULL \
                     ORDER BY pg_catalog.random() LIMIT $1)",
                    part.source.table, part.source.time
                )
            })
            .collect();
        let agent = if self.per_agent {
            "r.agent_id"
        } else {
            "NULL::uuid"
        };
        for level in self.levels() {
            let hour = start_of("r.bucket", HOUR);
            selects.push(format!(
                "(SELECT r.workspace_id, {agent}, {hour} AS bucket FROM analytics.{} AS r \
                 ORDER BY pg_catalog.random() LIMIT $1)",
                level.table
            ));
        }
        let unchanged = format!(
            "NOT EXISTS (SELECT FROM analytics_internal.rollup_changes AS c \
             WHERE c.sources & {} <> 0 AND (c.rollup IS NULL OR c.rollup = '{}') \
               AND (c.workspace_id IS NULL OR c.workspace_id = s.workspace_id) \
               AND c.bucket < pg_catalog.date_bin(interval '24 hours', s.bucket, 'epoch') + interval '24 hours' \
               AND coalesce(c.until, c.bucket + interval '1 hour') \
                   > pg_catalog.date_bin(interval '24 hours', s.bucket, 'epoch'))",
            self.sources(),
            self.name
        );
        format!(
            "SELECT DISTINCT s.workspace_id, s.agent_id, s.bucket FROM ({}) AS s (workspace_id, agent_id, bucket) \
             WHERE {unchanged}",
            selects.join(" UNION ALL ")
        )
    }

    fn compare(&self, keys: &str, fresh: &str, stored: &str) -> String {
        let agent = if self.per_agent {
            "coalesce(f.agent_id, t.agent_id)"
        } else {
            "NULL::uuid"
        };
        let same = self
            .key_names()
            .map(|name| format!("f.{name} = t.{name} AND "))
            .collect::<Vec<_>>()
            .concat();
        format!(
            "WITH keys AS MATERIALIZED ({keys}), fresh AS ({fresh}), stored AS ({stored})
             SELECT coalesce(f.workspace_id, t.workspace_id), {agent}, coalesce(f.bucket, t.bucket),
                    pg_catalog.to_jsonb(f), pg_catalog.to_jsonb(t)
             FROM fresh AS f FULL JOIN stored AS t ON {same}f.workspace_id = t.workspace_id AND f.bucket = t.bucket
             WHERE pg_catalog.to_jsonb(f) IS DISTINCT FROM pg_catalog.to_jsonb(t)"
        )
    }

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

/// Days in a range of time that may hold something of these sources, from raw rows and from rollups: $1 and $2 the
/// range, which may be infinite.
pub fn days_of(sources: Sources, rollups: &[&Rollup]) -> String {
    let mut selects = Vec::new();
    for source in SOURCES.iter().filter(|source| source.bit & sources != 0) {
        let (table, time) = (source.table, source.time);
        let day = start_of(time, DAY);
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
