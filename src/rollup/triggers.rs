//! The triggers that note changes, and the indexes by which changed buckets are looked up, as the sources declare them.
//! `setup()` makes what is missing.

use pgrx::datum::DatumWithOid;

use super::declarations::{ALL_SOURCES, Entity, ROLLUPS, SOURCES, Source, sources_of};
use crate::query::{change, change_rows};

const TRUNCATE: &str = "capture_truncate";

/// Called in the transaction that makes the tables, whose owner the caller is.
pub fn attach() {
    for source in SOURCES.iter().filter(|source| exists(source.table)) {
        let bits = source.bit.to_string();
        if !has_trigger(source.table, source.trigger, &bits) {
            make_trigger(
                source.table,
                source.trigger,
                "INSERT OR UPDATE OR DELETE",
                "ROW",
                &bits,
            );
        }
        let bits = sources_of(source.table).to_string();
        if !has_trigger(source.table, TRUNCATE, &bits) {
            make_trigger(source.table, TRUNCATE, "TRUNCATE", "STATEMENT", &bits);
        }
        for entity in looked_up_by(source) {
            make_index(source, entity);
        }
    }
    let everything = ALL_SOURCES.to_string();
    if !has_trigger("workspaces", TRUNCATE, &everything) {
        make_trigger("workspaces", TRUNCATE, "TRUNCATE", "STATEMENT", &everything);
    }
}

/// Whether a table of a source has been made: its capability may come with a later migration.
fn exists(table: &str) -> bool {
    let sql = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
    is_true(sql, &[format!("analytics.{table}").into()])
}

/// As this transaction has left the catalogue.
fn is_true(sql: &str, arguments: &[DatumWithOid]) -> bool {
    change_rows(sql, arguments, |row| row.get(1)) == [Some(true)]
}

fn has_trigger(table: &str, trigger: &str, argument: &str) -> bool {
    let sql = r"SELECT EXISTS (
                    SELECT FROM pg_catalog.pg_trigger AS t
                    WHERE t.tgrelid = $1::pg_catalog.regclass AND t.tgname = $2 AND t.tgenabled = 'A'
                      AND t.tgargs = pg_catalog.convert_to($3, 'UTF8') || '\x00')";
    let table = format!("analytics.{table}");
    is_true(sql, &[table.into(), trigger.into(), argument.into()])
}

/// Always enabled: also for what arrives by logical replication.
fn make_trigger(table: &str, trigger: &str, events: &str, each: &str, argument: &str) {
    let statement = format!(
        "CREATE OR REPLACE TRIGGER {trigger} AFTER {events} ON analytics.{table} FOR EACH {each} \
         EXECUTE FUNCTION analytics_internal.capture_changes('{argument}')"
    );
    change(&statement, &[]);
    change(
        &format!("ALTER TABLE analytics.{table} ENABLE ALWAYS TRIGGER {trigger}"),
        &[],
    );
}

/// What rollups look its rows up by: the entity, and the workspace alone.
fn looked_up_by(source: &Source) -> Vec<Option<Entity>> {
    let uses = |entity: &Option<Entity>| {
        ROLLUPS
            .iter()
            .any(|rollup| rollup.entity == *entity && rollup.sources() & source.bit != 0)
    };
    let mut ways = vec![None, source.entity];
    ways.dedup();
    ways.retain(uses);
    ways
}

/// Unless there is one that begins with the same columns and leaves no row out that has a time.
fn make_index(source: &Source, entity: Option<Entity>) {
    let time = source.time().replace("r.", "");
    let columns: Vec<String> = ["workspace_id"]
        .into_iter()
        .chain(entity.map(Entity::id))
        .map(str::to_owned)
        .chain([time.clone()])
        .collect();
    let sql = "SELECT EXISTS (
                   SELECT FROM pg_catalog.pg_index AS i
                   WHERE i.indrelid = $1::pg_catalog.regclass
                     AND coalesce(pg_catalog.lower(pg_catalog.pg_get_expr(i.indpred, i.indrelid)) = $3, true)
                     AND $2 = ARRAY(SELECT pg_catalog.lower(pg_catalog.pg_get_indexdef(i.indexrelid, n, true))
                                    FROM pg_catalog.generate_series(1, pg_catalog.cardinality($2)) AS n))";
    let arguments = [
        format!("analytics.{}", source.table).into(),
        columns.clone().into(),
        format!("({time} is not null)").into(),
    ];
    if !is_true(sql, &arguments) {
        let list: Vec<String> = columns.iter().map(|column| format!("({column})")).collect();
        change(
            &format!(
                "CREATE INDEX ON analytics.{} ({})",
                source.table,
                list.join(", ")
            ),
            &[],
        );
    }
}
