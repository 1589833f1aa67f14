//! The SQL that a declaration stands for.

use std::fmt::Write;

use super::capture::Sources;
use super::declarations::{Column, Merge, Rollup, SOURCES};

impl Rollup {
    /// The tables that it is computed from.
    pub fn sources(&self) -> Sources {
        self.parts.iter().fold(0, |all, part| all | part.source.bit)
    }

    fn columns(&self) -> impl Iterator<Item = &'static Column> {
        self.parts.iter().flat_map(|part| part.columns)
    }

    fn each_column(&self, shape: impl Fn(&Column) -> String) -> String {
        self.columns().map(shape).collect::<Vec<_>>().join(", ")
    }

    /// Each of the buckets `k`, computed from raw rows. One look-up in an index for each bucket and source: the cost
    /// follows what changed, where a join with the raw table may read all of it.
    fn raw_buckets(&self) -> String {
        let mut sql = format!(
            "SELECT k.*, {} FROM keys AS k",
            self.each_column(|column| column.name.to_owned())
        );
        for (number, part) in self.parts.iter().enumerate() {
            let columns: Vec<String> = part
                .columns
                .iter()
                .map(|column| format!("{} AS {}", column.raw, column.name))
                .collect();
            let (columns, table, time) = (columns.join(", "), part.source.table, part.source.time);
            // Writing to a String cannot fail.
            let _ = write!(
                sql,
                " CROSS JOIN LATERAL (SELECT {columns} FROM analytics.{table} AS r \
                 WHERE r.workspace_id = k.workspace_id AND r.agent_id = k.agent_id \
                 AND r.{time} >= k.bucket AND r.{time} < k.bucket + interval '1 hour') AS part_{number}"
            );
        }
        sql
    }

    fn is_filled(&self) -> String {
        let counts: Vec<String> = self
            .parts
            .iter()
            .filter_map(|part| part.columns.first())
            .map(|column| format!("f.{} > 0", column.name))
            .collect();
        counts.join(" OR ")
    }

    /// Each of the days `k`, merged from its hours.
    fn merged_days(&self) -> String {
        let merged = self.each_column(|column| format!("{} AS {}", merged(column), column.name));
        let hourly = self.hourly;
        format!(
            "SELECT k.*, day.* FROM keys AS k CROSS JOIN LATERAL (SELECT {merged} FROM analytics.{hourly} AS p \
             WHERE p.workspace_id = k.workspace_id AND p.agent_id = k.agent_id \
             AND p.bucket >= k.bucket AND p.bucket < k.bucket + interval '24 hours') AS day"
        )
    }

    /// Recomputes the hours of a batch: $1 to $4 are arrays of workspace, agent, hour and changed sources.
    pub fn refresh_hours(&self) -> String {
        self.refresh(self.hourly, "k.bucket", &self.raw_buckets())
    }

    /// Recomputes the days of a batch, with the same arguments, after its hours.
    pub fn refresh_days(&self) -> String {
        let day = "pg_catalog.date_bin('24 hours', k.bucket, 'epoch')";
        self.refresh(self.daily, day, &self.merged_days())
    }

    fn refresh(&self, table: &str, bucket: &str, computed: &str) -> String {
        let (sources, is_filled) = (self.sources(), self.is_filled());
        let mut names: Vec<&str> = vec!["workspace_id", "agent_id", "bucket"];
        names.extend(self.columns().map(|column| column.name));
        names.extend(self.derived.iter().map(|(name, _)| *name));
        let updates: Vec<String> = names
            .iter()
            .skip(3)
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        let derived: Vec<String> = self
            .derived
            .iter()
            .map(|(name, expression)| format!("{expression} AS {name}"))
            .collect();
        let (names, updates, derived) = (names.join(", "), updates.join(", "), derived.join(", "));
        format!(
            "WITH keys AS MATERIALIZED (
                 SELECT DISTINCT k.workspace_id, k.agent_id, {bucket} AS bucket
                 FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::integer[])
                      AS k (workspace_id, agent_id, bucket, sources)
                 WHERE k.sources & {sources} <> 0
             ), fresh AS MATERIALIZED (
                 SELECT * FROM ({computed}) AS f WHERE {is_filled}
             ), removed AS (
                 DELETE FROM analytics.{table} AS t USING keys AS k
                 WHERE t.workspace_id = k.workspace_id AND t.agent_id = k.agent_id AND t.bucket = k.bucket
                   AND NOT EXISTS (SELECT FROM fresh AS f WHERE f.workspace_id = k.workspace_id
                                   AND f.agent_id = k.agent_id AND f.bucket = k.bucket)
                 RETURNING 1
             ), written AS (
                 INSERT INTO analytics.{table} ({names})
                 SELECT {names} FROM (SELECT f.*, {derived} FROM fresh AS f) AS f
                 ON CONFLICT (workspace_id, agent_id, bucket) DO UPDATE SET {updates}
                 RETURNING 1
             )
             SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM written), (SELECT count(*) FROM removed)"
        )
    }

    /// The rollup as raw rows would give it now: clean days, clean hours where a day is not whole or not clean, and
    /// the changed hours from raw rows. One row per agent and step.
    ///
    /// $1 workspace, $2 agent or NULL, $3 and $4 from and to, $5 and $6 the first day that is whole and the first
    /// after the last, $7 step or NULL, $8 and $9 arrays of the changed hours: agent and hour. Where there are none,
    /// a shorter text saves the planner a look at each partition of the raw tables.
    pub fn read(&self, has_changes: bool) -> String {
        let select = format!(
            "SELECT p.agent_id, p.bucket, {}",
            self.each_column(|column| format!("p.{}", column.name))
        );
        let (hourly, daily) = (self.hourly, self.daily);
        let of_agent = "p.workspace_id = $1 AND ($2 IS NULL OR p.agent_id = $2)";
        let unless_in = |changed: &str| {
            if has_changes {
                format!(
                    "AND NOT EXISTS (SELECT FROM {changed} AS k WHERE k.agent_id = p.agent_id AND k.bucket = p.bucket)"
                )
            } else {
                String::new()
            }
        };
        let (clean_day, clean_hour) = (unless_in("days"), unless_in("keys"));
        let mut parts = vec![
            format!(
                "{select} FROM analytics.{daily} AS p
                 WHERE {of_agent} AND p.bucket >= $5 AND p.bucket < $6 {clean_day}"
            ),
            format!(
                "{select} FROM analytics.{hourly} AS p
                 WHERE {of_agent} AND p.bucket >= $3 AND p.bucket < least($5, $4) {clean_hour}"
            ),
            format!(
                "{select} FROM analytics.{hourly} AS p
                 WHERE {of_agent} AND p.bucket >= greatest($5, $6) AND p.bucket < $4 {clean_hour}"
            ),
        ];
        let mut changed = "";
        if has_changes {
            changed = "keys AS MATERIALIZED (
                SELECT $1 AS workspace_id, k.agent_id, k.bucket FROM unnest($8, $9) AS k (agent_id, bucket)
            ), days AS MATERIALIZED (
                SELECT DISTINCT k.agent_id, date_bin('24 hours', k.bucket, 'epoch') AS bucket FROM keys AS k
                WHERE k.bucket >= $5 AND k.bucket < $6
            ), ";
            parts.push(format!(
                "{select} FROM days AS d JOIN analytics.{hourly} AS p
                   ON p.workspace_id = $1 AND p.agent_id = d.agent_id
                  AND p.bucket >= d.bucket AND p.bucket < d.bucket + interval '24 hours'
                 WHERE true {clean_hour}"
            ));
            parts.push(format!("{select} FROM ({}) AS p", self.raw_buckets()));
        }
        let filled: Vec<String> = self
            .parts
            .iter()
            .filter_map(|part| part.columns.first())
            .map(|column| format!("sum(p.{}) > 0", column.name))
            .collect();
        format!(
            "WITH {changed}parts AS ({parts})
             SELECT p.agent_id, date_bin($7, p.bucket, 'epoch'), {merged}
             FROM parts AS p
             GROUP BY 1, 2
             HAVING {filled}",
            parts = parts.join(" UNION ALL "),
            merged = self.each_column(merged),
            filled = filled.join(" OR "),
        )
    }
}

fn merged(column: &Column) -> String {
    let name = column.name;
    match column.merge {
        Merge::Sum(kind) => format!("coalesce(sum(p.{name}), 0)::{kind}"),
        Merge::Sketch => format!("analytics.rollup(p.{name})"),
        Merge::Least => format!("min(p.{name})"),
        Merge::Greatest => format!("max(p.{name})"),
    }
}

/// Every bucket that may hold something of these sources in a range of time, from raw rows and from rollups; for the
/// case that all of it may have changed.
pub fn all_buckets(sources: Sources, rollups: &[Rollup], condition: &str) -> String {
    let mut selects = Vec::new();
    for source in SOURCES.iter().filter(|source| source.bit & sources != 0) {
        let (table, time) = (source.table, source.time);
        selects.push(format!(
            "SELECT r.workspace_id, r.agent_id, pg_catalog.date_bin('1 hour', r.{time}, 'epoch') AS bucket \
             FROM analytics.{table} AS r WHERE r.{time} >= $1 AND r.{time} < $2 {condition}"
        ));
    }
    for rollup in rollups
        .iter()
        .filter(|rollup| rollup.sources() & sources != 0)
    {
        selects.push(format!(
            "SELECT r.workspace_id, r.agent_id, r.bucket FROM analytics.{} AS r \
             WHERE r.bucket >= $1 AND r.bucket < $2 {condition}",
            rollup.hourly
        ));
    }
    selects.join(" UNION ")
}
