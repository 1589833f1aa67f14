//! `analytics.setup()`: makes and upgrades the tables, which belong to the user and not to the extension
//! (an extension's own tables do not survive `pg_dump`; see docs/install.md).

use std::cell::Cell;
use std::ffi::CStr;
use std::time::Instant;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;

use crate::errors::raise;
use crate::migrations::{MIGRATIONS, Migration, VIEWS, newest_version};
use crate::query::read_one;
use crate::roles::{as_role, step_down_to};
use crate::rollup::triggers;

/// One line of the report that `setup()` returns.
struct Step {
    version: Option<i32>,
    name: String,
    action: &'static str,
    seconds: f64,
}

/// What the caller chose, now or at an earlier call.
#[derive(Clone, Copy)]
struct Options {
    partitioned: bool,
    default_partition: bool,
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn setup(
    partitioning: Option<&str>,
    default_partition: Option<bool>,
) -> TableIterator<
    'static,
    (
        name!(version, Option<i32>),
        name!(name, String),
        name!(action, String),
        name!(seconds, f64),
    ),
> {
    let requested = parse_partitioning(partitioning);
    // SAFETY: raises an error or does nothing.
    unsafe { pg_sys::PreventCommandIfReadOnly(c"setup()".as_ptr()) };
    require_read_committed();
    let steps = step_down_to(administrator(), || {
        Spi::connect_mut(|client| set_up(client, requested, default_partition))
    });
    TableIterator::new(steps.into_iter().map(|step| {
        (
            step.version,
            step.name,
            step.action.to_owned(),
            step.seconds,
        )
    }))
}

/// Who owns the tables; before there are any, who owns the schema. A superuser makes and upgrades the tables of others
/// in their name.
fn administrator() -> pg_sys::Oid {
    let owner = owner();
    if owner != pg_sys::Oid::INVALID {
        return owner;
    }
    read_one(
        "SELECT n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'analytics'",
        &[],
    )
    .unwrap_or(pg_sys::Oid::INVALID)
}

/// Who owns the tables; an invalid id where there are none.
pub fn owner() -> pg_sys::Oid {
    migrations_table().map_or(pg_sys::Oid::INVALID, |table| {
        // SAFETY: runs inside a transaction.
        unsafe { relation_owner(table) }
    })
}

fn set_up(
    client: &mut SpiClient,
    partitioned: Option<bool>,
    default_partition: Option<bool>,
) -> Vec<Step> {
    require_create_privilege(client);
    // Two sessions that call setup() at once: the second waits here, then finds everything done.
    run(client, "SELECT analytics_internal.lock_schema()");
    refuse_orphans(client);
    make_migrations_table(client);
    let mut steps = Vec::new();
    let options = choose_options(client, partitioned, default_partition);
    apply_migrations(client, options, &mut steps);
    triggers::attach();
    remember_options(client, options);
    make_partitions(client, options, &mut steps);
    describe_partitions(client);
    replace_views(client, &mut steps);
    run(client, "SELECT analytics_internal.regrant_all()");
    steps
}

#[pg_extern(sql = false)]
fn schema_version() -> i32 {
    migrations_table().map_or(0, applied_version)
}

/// Refuses to go on where the tables are missing, or older or newer than this library.
#[pg_extern(schema = "analytics_internal", stable, parallel_safe)]
pub fn require_schema() {
    thread_local! {
        // The table that was found to be right, so that the next calls need one look-up of a name and no query.
        static VERIFIED: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::Oid::INVALID) };
    }
    let Some(table) = migrations_table() else {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "the tables of shadower_analytics do not exist in this database",
            "Run SELECT analytics.setup();",
        )
    };
    if VERIFIED.get() == table {
        return;
    }
    let (found, needed) = (applied_version(table), newest_version());
    if found < needed {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "the tables of shadower_analytics have version {found}, and this library needs version {needed}"
            ),
            "Run SELECT analytics.setup();",
        )
    }
    if found > needed {
        raise_newer_schema(found);
    }
    VERIFIED.set(table);
}

fn raise_newer_schema(found: i32) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!(
            "the tables of shadower_analytics have version {found}, and this library knows versions up to {}",
            newest_version()
        ),
        "Install the version of shadower_analytics that made these tables, or a later one.",
    )
}

fn parse_partitioning(partitioning: Option<&str>) -> Option<bool> {
    match partitioning {
        None => None,
        Some("native") => Some(true),
        Some("none") => Some(false),
        Some(other) => raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("partitioning \"{other}\" is not allowed: it is not a way to partition"),
            "Use native (monthly partitions) or none (plain tables).",
        ),
    }
}

/// With an older snapshot, the second of two concurrent calls would not see what the first has made.
fn require_read_committed() {
    // SAFETY: reads a variable of this backend.
    let isolation = unsafe { pg_sys::XactIsoLevel };
    if isolation >= pg_sys::XACT_REPEATABLE_READ.cast_signed() {
        raise(
            PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION,
            "setup() cannot run in a REPEATABLE READ or SERIALIZABLE transaction",
            "Run it by itself, or in a READ COMMITTED transaction.",
        )
    }
}

fn require_create_privilege(client: &SpiClient) {
    let missing: Option<String> = first_value(
        client,
        "SELECT min(s) FROM unnest(ARRAY['analytics', 'analytics_internal']) AS s \
         WHERE NOT pg_catalog.has_schema_privilege(s, 'CREATE')",
    );
    if let Some(schema) = missing {
        let role: Option<String> =
            first_value(client, "SELECT pg_catalog.quote_ident(current_user)");
        let role = role.unwrap_or_default();
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("role {role} may not create tables in schema \"{schema}\""),
            "Run setup() as the role that created the extension.",
        )
    }
}

/// `DROP EXTENSION ... CASCADE` takes the record of the migrations and leaves the tables.
fn refuse_orphans(client: &SpiClient) {
    let orphaned: Option<bool> = first_value(
        client,
        "SELECT to_regclass('analytics_internal.schema_migrations') IS NULL \
            AND to_regclass('analytics.workspaces') IS NOT NULL",
    );
    if orphaned == Some(true) {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "schema \"analytics\" holds tables of an earlier installation",
            "Rename that schema, create the extension again, run setup() and copy the rows.",
        )
    }
}

fn make_migrations_table(client: &mut SpiClient) {
    run(
        client,
        "CREATE TABLE IF NOT EXISTS analytics_internal.schema_migrations (
             version         integer          NOT NULL PRIMARY KEY,
             name            text             NOT NULL,
             checksum        text             NOT NULL,
             library_version text             NOT NULL,
             applied_by      text             NOT NULL DEFAULT current_user,
             applied_at      timestamptz      NOT NULL DEFAULT clock_timestamp(),
             seconds         double precision NOT NULL
         );",
    );
    let stranger: Option<String> = first_value(
        client,
        "SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) FROM pg_catalog.pg_class AS c
         WHERE c.oid = 'analytics_internal.schema_migrations'::regclass
           AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')",
    );
    if let Some(owner) = stranger {
        raise(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("the tables of shadower_analytics belong to role {owner}"),
            format!("Run setup() as {owner} or as a member of it."),
        )
    }
    run(
        client,
        "COMMENT ON TABLE analytics_internal.schema_migrations IS
             'Migrations that setup() has applied to this database, each once.';
         COMMENT ON COLUMN analytics_internal.schema_migrations.version IS 'Number of the migration; the largest is the version of the tables.';
         COMMENT ON COLUMN analytics_internal.schema_migrations.name IS 'Capability that the migration serves.';
         COMMENT ON COLUMN analytics_internal.schema_migrations.checksum IS 'SHA-256 of the migration as it was applied, in hexadecimal.';
         COMMENT ON COLUMN analytics_internal.schema_migrations.library_version IS 'Version of the library that applied it.';
         COMMENT ON COLUMN analytics_internal.schema_migrations.applied_by IS 'Role that called setup().';
         COMMENT ON COLUMN analytics_internal.schema_migrations.applied_at IS 'When it was applied.';
         COMMENT ON COLUMN analytics_internal.schema_migrations.seconds IS 'How long it took, in seconds.';",
    );
}

/// Merges what the caller asks for now with what an earlier call has decided.
fn choose_options(
    client: &SpiClient,
    partitioned: Option<bool>,
    default_partition: Option<bool>,
) -> Options {
    let known: Option<bool> = first_value(
        client,
        "SELECT pg_catalog.to_regclass('analytics_internal.settings') IS NOT NULL",
    );
    let setting = |name: &str| -> Option<bool> {
        if known != Some(true) {
            return None;
        }
        first_value(
            client,
            &format!(
                "SELECT (value #>> '{{}}')::boolean FROM analytics_internal.settings WHERE name = '{name}'"
            ),
        )
    };
    let decided = setting("partitioned");
    if let (Some(now), Some(before)) = (partitioned, decided)
        && now != before
    {
        let name = |partitioned| if partitioned { "native" } else { "none" };
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!(
                "partitioning \"{}\" is not allowed: these tables were set up with \"{}\"",
                name(now),
                name(before)
            ),
            "Leave the argument out. To change it, dump the data, set up an empty database the other way and load them there.",
        )
    }
    Options {
        partitioned: partitioned.or(decided).unwrap_or(true),
        default_partition: default_partition
            .or(setting("default_partition"))
            .unwrap_or(true),
    }
}

fn apply_migrations(client: &mut SpiClient, options: Options, steps: &mut Vec<Step>) {
    let applied = applied_migrations(client);
    if let Some((version, _)) = applied.last()
        && *version > newest_version()
    {
        raise_newer_schema(*version);
    }
    for migration in MIGRATIONS {
        let started = Instant::now();
        let earlier = applied
            .iter()
            .find(|(version, _)| *version == migration.version);
        let action = if let Some((_, checksum)) = earlier {
            require_unchanged(migration, checksum);
            "present"
        } else {
            apply(client, migration, options.partitioned);
            "applied"
        };
        steps.push(Step {
            version: Some(migration.version),
            name: migration.name.to_owned(),
            action,
            seconds: started.elapsed().as_secs_f64(),
        });
    }
}

fn applied_migrations(client: &SpiClient) -> Vec<(i32, String)> {
    let sql = "SELECT version, checksum FROM analytics_internal.schema_migrations ORDER BY version";
    let mut applied = Vec::new();
    for row in client.select(sql, None, &[]).unwrap_or_report() {
        let version = row.get::<i32>(1).unwrap_or_report().unwrap_or_default();
        let checksum = row.get::<String>(2).unwrap_or_report().unwrap_or_default();
        applied.push((version, checksum));
    }
    applied
}

fn require_unchanged(migration: &Migration, applied_checksum: &str) {
    if migration.checksum() != applied_checksum {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "migration {} ({}) is not the one that was applied to this database",
                migration.version, migration.name
            ),
            "The library is not a release of shadower_analytics, or schema_migrations was edited: install a release.",
        )
    }
}

fn apply(client: &mut SpiClient, migration: &Migration, partitioned: bool) {
    let started = Instant::now();
    run(client, &migration.sql_for(partitioned));
    client
        .update(
            "INSERT INTO analytics_internal.schema_migrations (version, name, checksum, library_version, seconds) \
             VALUES ($1, $2, $3, $4, $5)",
            None,
            &[
                migration.version.into(),
                migration.name.into(),
                migration.checksum().into(),
                env!("CARGO_PKG_VERSION").into(),
                started.elapsed().as_secs_f64().into(),
            ],
        )
        .unwrap_or_report();
}

fn remember_options(client: &mut SpiClient, options: Options) {
    for (name, value) in [
        ("partitioned", options.partitioned),
        ("default_partition", options.default_partition),
    ] {
        client
            .update(
                "INSERT INTO analytics_internal.settings AS s (name, value) VALUES ($1, to_jsonb($2)) \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE s.value <> excluded.value",
                None,
                &[name.into(), value.into()],
            )
            .unwrap_or_report();
    }
}

fn make_partitions(client: &mut SpiClient, options: Options, steps: &mut Vec<Step>) {
    if !options.partitioned {
        return;
    }
    let started = Instant::now();
    run(
        client,
        if options.default_partition {
            "SELECT analytics_internal.make_default_partition('agent_runs')"
        } else {
            "SELECT analytics_internal.drop_default_partition('agent_runs')"
        },
    );
    let sql = "SELECT partition_name, action FROM analytics.ensure_partitions()";
    let table = client.update(sql, None, &[]).unwrap_or_report();
    let seconds = started.elapsed().as_secs_f64();
    for row in table {
        let created = row.get::<&str>(2).unwrap_or_report() == Some("created");
        steps.push(Step {
            version: None,
            name: row.get::<String>(1).unwrap_or_report().unwrap_or_default(),
            action: if created { "created" } else { "present" },
            seconds,
        });
    }
}

/// A migration may have changed what a column means, and a user may have attached a table.
fn describe_partitions(client: &mut SpiClient) {
    // Until `ALTER EXTENSION ... UPDATE` has run, the functions are older than the library.
    let known: Option<bool> = first_value(
        client,
        "SELECT pg_catalog.to_regprocedure('analytics_internal.describe_columns(regclass)') IS NOT NULL",
    );
    if known != Some(true) {
        return;
    }
    run(
        client,
        "SELECT analytics_internal.describe_columns(i.inhrelid)
         FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'analytics.agent_runs'::pg_catalog.regclass
           AND pg_catalog.pg_has_role(c.relowner, 'USAGE')",
    );
}

/// `CREATE OR REPLACE`, so that grants on a view and views over it survive.
fn replace_views(client: &mut SpiClient, steps: &mut Vec<Step>) {
    for view in VIEWS {
        let started = Instant::now();
        run(client, view.sql);
        steps.push(Step {
            version: None,
            name: format!("views of {}", view.name),
            action: "replaced",
            seconds: started.elapsed().as_secs_f64(),
        });
    }
}

fn run(client: &mut SpiClient, sql: &str) {
    client.update(sql, None, &[]).unwrap_or_report();
}

fn first_value<T: FromDatum + IntoDatum>(client: &SpiClient, sql: &str) -> Option<T> {
    let table = client.select(sql, Some(1), &[]).unwrap_or_report();
    if table.is_empty() {
        None
    } else {
        table.first().get_one().unwrap_or_report()
    }
}

/// A table by its name; `InvalidOid` where there is none.
pub fn table_named(schema: &CStr, name: &CStr) -> pg_sys::Oid {
    // SAFETY: look-ups of names in the system caches; both accept names that do not exist.
    unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    }
}

fn migrations_table() -> Option<pg_sys::Oid> {
    let table = table_named(c"analytics_internal", c"schema_migrations");
    (table != pg_sys::Oid::INVALID).then_some(table)
}

/// Read with the rights of the table's owner: the number is no secret, the table is nobody's business.
fn applied_version(table: pg_sys::Oid) -> i32 {
    // SAFETY: the relation was just found; should it vanish, this is InvalidOid and SPI reports it.
    let owner = unsafe { relation_owner(table) };
    let sql = "SELECT max(version) FROM analytics_internal.schema_migrations";
    as_role(owner, || read_one::<i32>(sql, &[])).unwrap_or(0)
}

/// # Safety
/// Must run inside a transaction.
pub unsafe fn relation_owner(relation: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: the tuple is checked before it is read, and released after.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID.cast_signed();
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(relation));
        if tuple.is_null() {
            return pg_sys::Oid::INVALID;
        }
        // Tuples are aligned for any type; the untyped step says so to the compiler.
        let form = pg_sys::GETSTRUCT(tuple).cast::<std::ffi::c_void>();
        let form = form.cast::<pg_sys::FormData_pg_class>();
        let owner = (*form).relowner;
        pg_sys::ReleaseSysCache(tuple);
        owner
    }
}
