//! Recomputing what has changed.

use super::super::declarations::{Level, Merge, Rollup};
use super::{Scope, start_of};

impl Rollup {
    /// The table `keys`: buckets of a level that contain the changed hours $1 to $4, arrays of workspace, entity, hour
    /// and changed sources.
    pub(super) fn changed_keys(&self, level: i64) -> String {
        let entity = self.changed_entity();
        let (sources, bucket) = (self.sources(), start_of("k.bucket", level));
        format!(
            "SELECT DISTINCT k.workspace_id, {entity}{bucket} AS bucket \
             FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::integer[]) \
                  AS k (workspace_id, entity_id, bucket, sources) \
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
                self.same_entity("t", "k")
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
    pub(super) fn computed(&self, level: Level, floors: Option<&str>) -> String {
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

    /// Puts `fresh` into the table of a level in place of what was there. Rows that are the same already stay: of a day
    /// most users have not done anything since. Returns how many buckets, rows read, written and removed.
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
        // Sketches by their bytes: their operators are not on the search path.
        let compared = self
            .columns()
            .map(|column| (column.name, matches!(column.merge, Merge::Sketch)))
            .chain(self.derived.iter().map(|(name, _)| (*name, false)));
        let differs = compared
            .map(|(name, is_sketch)| {
                let cast = if is_sketch { "::bytea" } else { "" };
                format!("t.{name}{cast} IS DISTINCT FROM excluded.{name}{cast}")
            })
            .collect::<Vec<_>>()
            .join(" OR ");
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
        // In the order of the key, so that what is read together lies together.
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
                 INSERT INTO analytics.{table} AS t ({names})
                 SELECT {names} FROM (SELECT f.*{derived} FROM fresh AS f ORDER BY {fresh_key}) AS f
                 ON CONFLICT ({conflict}) DO UPDATE SET {updates} WHERE {differs}
                 RETURNING 1
             )
             SELECT {bucket_count}, (SELECT coalesce(sum({read}), 0)::bigint FROM fresh AS f),
                    (SELECT count(*) FROM written), (SELECT count(*) FROM removed)",
            conflict = key.join(", "),
        )
    }
}
