//! Comparing a rollup with what raw rows say.

use super::super::declarations::{Entity, HOUR, Level, Rollup};
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
            self.same_entity("t", "k"),
        );
        self.compare(&keys, &fresh, &stored)
    }

    /// Some hours of entities, at most $1 of raw rows and $1 of the rollup, that nothing has changed since.
    pub fn sample(&self) -> String {
        let mut selects: Vec<String> = self
            .parts
            .iter()
            .map(|part| {
                let (table, time) = (part.source.table, part.source.time());
                let (entity, hour) = (id_of("r", self.entity), start_of(&time, HOUR));
                format!(
                    "(SELECT r.workspace_id, {entity}, {hour} AS bucket FROM analytics.{table} AS r WHERE {time} IS NOT NULL \
                     ORDER BY pg_catalog.random() LIMIT $1)"
                )
            })
            .collect();
        let entity = id_of("r", self.entity);
        for level in self.levels() {
            let hour = start_of("r.bucket", HOUR);
            selects.push(format!(
                "(SELECT r.workspace_id, {entity}, {hour} AS bucket FROM analytics.{} AS r \
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
            "SELECT DISTINCT s.workspace_id, s.entity_id, s.bucket FROM ({}) AS s (workspace_id, entity_id, bucket) \
             WHERE {unchanged}",
            selects.join(" UNION ALL ")
        )
    }

    fn compare(&self, keys: &str, fresh: &str, stored: &str) -> String {
        let entity = format!(
            "coalesce({}, {})",
            id_of("f", self.entity),
            id_of("t", self.entity)
        );
        let same = self
            .key_names()
            .map(|name| format!("f.{name} = t.{name} AND "))
            .collect::<Vec<_>>()
            .concat();
        format!(
            "WITH keys AS MATERIALIZED ({keys}), fresh AS ({fresh}), stored AS ({stored})
             SELECT coalesce(f.workspace_id, t.workspace_id), {entity}, coalesce(f.bucket, t.bucket),
                    pg_catalog.to_jsonb(f), pg_catalog.to_jsonb(t)
             FROM fresh AS f FULL JOIN stored AS t ON {same}f.workspace_id = t.workspace_id AND f.bucket = t.bucket
             WHERE pg_catalog.to_jsonb(f) IS DISTINCT FROM pg_catalog.to_jsonb(t)"
        )
    }
}

/// The id of the entity of a row.
fn id_of(row: &str, entity: Option<Entity>) -> String {
    entity.map_or_else(
        || "NULL::uuid".to_owned(),
        |entity| format!("{row}.{}", entity.id()),
    )
}
