//! The functions that follow from the declarations of rollups: one that reads each, and lists for the functions in SQL.

use crate::declarations::{Entity, ROLLUPS, Rollup, SOURCES, Source};

pub fn sql() -> String {
    let reads: String = ROLLUPS.iter().map(read_function).collect();
    format!("{}{}{reads}", list_of_sources(), list_of_rollups())
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn array(values: impl Iterator<Item = &'static str>) -> String {
    let values: Vec<String> = values.map(text).collect();
    format!("ARRAY[{}]", values.join(", "))
}

/// A function that returns constants.
fn list(name: &str, columns: &str, rows: &[String], comment: &str) -> String {
    format!(
        "CREATE FUNCTION analytics_internal.{name}()
RETURNS TABLE ({columns})
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES {}
$$;
COMMENT ON FUNCTION analytics_internal.{name}() IS {};

",
        rows.join(",\n           "),
        text(comment)
    )
}

fn list_of_sources() -> String {
    let row = |source: &Source| {
        format!(
            "({}, {}, {}, {})",
            source.bit,
            text(source.table),
            source
                .entity
                .map_or_else(|| "NULL::text".to_owned(), |entity| text(entity.id())),
            array(source.times.iter().copied())
        )
    };
    list(
        "sources",
        "source integer, table_name text, entity_column text, time_columns text[]",
        &SOURCES.iter().map(row).collect::<Vec<_>>(),
        "What rollups are computed from: rows of a table by one of their times, the first of time_columns that is not NULL. \
         source is the bit that stands for it in rollup_changes.sources; entity_column is what its changes are noted for besides the workspace, \
         NULL where there is nothing.",
    )
}

fn list_of_rollups() -> String {
    let row = |rollup: &Rollup| {
        let tables = rollup.levels().map(|level| level.table);
        format!(
            "({}, {}, {})",
            text(rollup.name),
            rollup.sources(),
            array(tables)
        )
    };
    list(
        "rollups",
        "rollup text, sources integer, tables text[]",
        &ROLLUPS.iter().map(row).collect::<Vec<_>>(),
        "The rollups: the sum of the bits of their sources, and their tables from the finest to the coarsest.",
    )
}

fn read_function(rollup: &Rollup) -> String {
    let entity = rollup.entity;
    let entity_argument =
        entity.map_or_else(String::new, |entity| format!("{} uuid, ", entity.id()));
    let by_entity = entity.map_or_else(String::new, |entity| {
        format!(", {} boolean DEFAULT true", entity.by())
    });
    let (entity_type, by_type) = entity.map_or(("", ""), |_| (" uuid,", ", boolean"));
    format!(
        "CREATE FUNCTION analytics_internal.{name}_buckets(
    workspace_id uuid, {entity_argument}from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL{by_entity})
RETURNS TABLE (
    {columns}
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS {rows}
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'read_rollup';
COMMENT ON FUNCTION analytics_internal.{name}_buckets(uuid,{entity_type} timestamptz, timestamptz, interval, text[]{by_type}) IS
    {comment};

",
        name = rollup.name,
        columns = columns(rollup).join(",\n    "),
        rows = rollup.rows,
        comment = text(rollup.comment),
    )
}

/// Of a read: key, bucket, columns, and how many entities there are.
fn columns(rollup: &Rollup) -> Vec<String> {
    let key = rollup.entity.map(|entity| format!("{} uuid", entity.id()));
    let dimensions = rollup
        .dimensions
        .iter()
        .map(|dimension| format!("{} {}", dimension.name, dimension.kind));
    let columns = rollup
        .columns()
        .map(|column| format!("{} {}", column.name, column.kind));
    let count = rollup
        .entity
        .map(Entity::count)
        .map(|name| format!("{name} bigint"));
    key.into_iter()
        .chain(dimensions)
        .chain(["bucket timestamptz".to_owned()])
        .chain(columns)
        .chain(count)
        .collect()
}
