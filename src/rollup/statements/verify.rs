//! Comparing a rollup with what raw rows say.

use super::super::declarations::{Level, Rollup};
use super::super::time::HOUR;
use super::start_of;

impl Rollup {
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
}
