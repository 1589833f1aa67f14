//! Attaching, detaching and truncating a partition fires no trigger: the rollups know which partitions they were
//! computed from, and what differs in the catalogue counts as changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::declarations::{ALL_SOURCES, RUNS, SOURCES, Source, Sources, sources_of};
use super::time::{INFINITY, MINUS_INFINITY, from_datum, to_microseconds, to_time};
use crate::query::{read_one, read_rows_kept};
use crate::relcache;
use crate::setup::table_named;

/// One partition, and where its rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partition {
    oid: pg_sys::Oid,
    /// The table that it is a part of.
    table: &'static str,
    /// The file: another one after TRUNCATE.
    storage: pg_sys::Oid,
    /// The transaction that attached it: another one after it was detached and attached again.
    attached: i64,
    lower: i64,
    upper: i64,
}

/// The catalogue's state as this backend last saw it, forgotten with any message about a relation.
#[derive(Default)]
struct Known {
    partitions: HashMap<&'static str, Vec<Partition>>,
    system_identifier: Option<i64>,
    listens: bool,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// The tables of some sources that may be partitioned.
fn tables(sources: Sources) -> Vec<&'static str> {
    let is_wanted = |source: &&Source| source.is_partitioned && source.bit & sources != 0;
    let mut tables: Vec<&str> = SOURCES
        .iter()
        .filter(is_wanted)
        .map(|source| source.table)
        .collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

/// The partitions of a table as they are now, whatever the snapshot: as a query that begins now sees them.
fn current(table: &'static str) -> Vec<Partition> {
    let oid = CString::new(table).map_or(pg_sys::Oid::INVALID, |name| {
        table_named(c"analytics", &name)
    });
    if oid == pg_sys::Oid::INVALID {
        return Vec::new();
    }
    listen();
    // SAFETY: the relation is open and locked while its descriptor is read, and the lock stays, so that no partition
    // goes away before the query that follows.
    unsafe {
        let relation = pg_sys::table_open(oid, pg_sys::AccessShareLock.cast_signed());
        let partitions = KNOWN
            .with_borrow(|known| known.partitions.get(table).cloned())
            .unwrap_or_else(|| look_up(table, relation));
        pg_sys::table_close(relation, pg_sys::NoLock.cast_signed());
        partitions
    }
}

/// # Safety
/// `relation` is open.
unsafe fn look_up(table: &'static str, relation: pg_sys::Relation) -> Vec<Partition> {
    // SAFETY: as required of the caller.
    unsafe {
        #[allow(clippy::cast_possible_wrap)] // ASCII
        let is_partitioned =
            (*(*relation).rd_rel).relkind == pg_sys::RELKIND_PARTITIONED_TABLE as std::ffi::c_char;
        let partitions = if is_partitioned {
            let attached = attachments((*relation).rd_id);
            read(
                table,
                pg_sys::RelationGetPartitionDesc(relation, true),
                &attached,
            )
        } else {
            Vec::new()
        };
        KNOWN.with_borrow_mut(|known| known.partitions.insert(table, partitions.clone()));
        partitions
    }
}

/// # Safety
/// `descriptor` is that of an open relation, partitioned by range of one timestamptz.
unsafe fn read(
    table: &'static str,
    descriptor: pg_sys::PartitionDesc,
    attached: &[(pg_sys::Oid, i64)],
) -> Vec<Partition> {
    // SAFETY: as in partbounds.h: `datums` and `kind` have `ndatums` elements of one column each, and `indexes` has one
    // more: the partition below the first bound, between two, and above the last; -1 where there is none.
    unsafe {
        let bounds = (*descriptor).boundinfo;
        if bounds.is_null() || (*descriptor).nparts == 0 {
            return Vec::new();
        }
        let count = (*bounds).ndatums.max(0);
        let bound = |place: i32| -> i64 {
            if place < 0 {
                return MINUS_INFINITY;
            }
            if place >= count {
                return INFINITY;
            }
            let place = place.unsigned_abs() as usize;
            match *(*(*bounds).kind.add(place)) {
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => MINUS_INFINITY,
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MAXVALUE => INFINITY,
                _ => from_datum(*(*(*bounds).datums.add(place))),
            }
        };
        let partition = |index: i32, lower: i64, upper: i64| {
            let oid = *(*descriptor).oids.add(index.unsigned_abs() as usize);
            let attachment = attached.iter().find(|(partition, _)| *partition == oid);
            Partition {
                table,
                oid,
                storage: storage_of(oid),
                attached: attachment.map_or(0, |(_, transaction)| *transaction),
                lower,
                upper,
            }
        };
        let mut partitions = Vec::new();
        for place in 0..(*bounds).nindexes.max(0) {
            let index = *(*bounds).indexes.add(place.unsigned_abs() as usize);
            if index >= 0 {
                partitions.push(partition(index, bound(place - 1), bound(place)));
            }
        }
        if (*bounds).default_index >= 0 {
            partitions.push(partition((*bounds).default_index, MINUS_INFINITY, INFINITY));
        }
        partitions
    }
}

/// Who attached each partition: the xmin of its row in `pg_inherits`, which names a table by its oid.
///
/// # Safety
/// Must run inside a transaction.
unsafe fn attachments(parent: pg_sys::Oid) -> Vec<(pg_sys::Oid, i64)> {
    /// From `pg_inherits.h`: the table, its index on the parent, and the columns of child and parent.
    const TABLE: u32 = 2611;
    const INDEX_ON_PARENT: u32 = 2187;
    const CHILD: i32 = 1;
    const PARENT: i16 = 2;
    let mode = pg_sys::AccessShareLock.cast_signed();
    // SAFETY: a scan of a catalogue with its own snapshot, as Postgres does it everywhere: tuples are read before the
    // next one is fetched, and the scan is ended before its relation is closed.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::Oid::from(TABLE), mode);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &raw mut key,
            PARENT,
            u16::try_from(pg_sys::BTEqualStrategyNumber).unwrap_or(3),
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(parent),
        );
        let index = pg_sys::Oid::from(INDEX_ON_PARENT);
        let no_snapshot = std::ptr::null_mut();
        let scan = pg_sys::systable_beginscan(relation, index, true, no_snapshot, 1, &raw mut key);
        let mut found = Vec::new();
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let mut is_null = false;
            let child = pg_sys::SPI_getbinval(tuple, (*relation).rd_att, CHILD, &raw mut is_null);
            let xmin = (*(*tuple).t_data).t_choice.t_heap.t_xmin;
            found.push((
                pg_sys::Oid::from_datum(child, is_null).unwrap_or(pg_sys::Oid::INVALID),
                i64::from(xmin.into_inner()),
            ));
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, mode);
        found
    }
}

/// # Safety
/// Must run inside a transaction.
unsafe fn storage_of(relation: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: the tuple is checked before it is read, and released after.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID.cast_signed();
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(relation));
        if tuple.is_null() {
            return pg_sys::Oid::INVALID;
        }
        // Tuples are aligned for any type; the untyped step says so to the compiler.
        let form = pg_sys::GETSTRUCT(tuple).cast::<std::ffi::c_void>();
        let storage = (*form.cast::<pg_sys::FormData_pg_class>()).relfilenode;
        pg_sys::ReleaseSysCache(tuple);
        storage
    }
}

fn listen() {
    if !KNOWN.with_borrow_mut(|known| std::mem::replace(&mut known.listens, true)) {
        relcache::listen(|_relation| KNOWN.with_borrow_mut(|known| known.partitions.clear()));
    }
}

/// The catalogue, beside what the rollups were computed from; both in the order of their oids.
pub struct Observed {
    now: Vec<Partition>,
    known: Vec<Partition>,
    /// Rows that say which database the known ones are of.
    origins: Vec<Partition>,
}

/// The partitions of some sources. Needs the rights of the tables' owner.
pub fn observe(sources: Sources) -> Observed {
    let mut now: Vec<Partition> = tables(sources).into_iter().flat_map(current).collect();
    let (origins, mut known): (Vec<_>, Vec<_>) = recorded(sources)
        .into_iter()
        .partition(|partition| partition.oid == pg_sys::Oid::INVALID);
    now.sort_unstable_by_key(number);
    known.sort_unstable_by_key(number);
    Observed {
        now,
        known,
        origins,
    }
}

fn number(partition: &Partition) -> u32 {
    partition.oid.to_u32()
}

impl Observed {
    /// Sources, and ranges of their time whose partition is another one, or has lost or got rows in a way that fires no
    /// trigger.
    pub fn changed(&self) -> Vec<(Sources, i64, i64)> {
        let differing = self.differing();
        // A restored database has other partitions throughout, and rollups that were restored with their rows.
        // Reads come by here: which database this is, is asked only where it matters.
        if differing.is_empty() || !(self.origins.is_empty() || self.is_of_this_database()) {
            return Vec::new();
        }
        differing
    }

    /// Whether nothing differs at all.
    pub fn is_recorded(&self) -> bool {
        self.differing().is_empty() && self.is_of_this_database()
    }

    fn differing(&self) -> Vec<(Sources, i64, i64)> {
        let has = |all: &[Partition], each: &Partition| {
            let place = all.binary_search_by_key(&number(each), number);
            place.is_ok_and(|place| all.get(place) == Some(each))
        };
        let gone = self.known.iter().filter(|each| !has(&self.now, each));
        let new = self.now.iter().filter(|each| !has(&self.known, each));
        gone.chain(new)
            .map(|each| (sources_of(each.table), each.lower, each.upper))
            .collect()
    }

    fn is_of_this_database(&self) -> bool {
        self.origins == [this_database()]
    }
}

/// The partitions of some sources that the rollups were computed from, and the row that says which database that was.
fn recorded(sources: Sources) -> Vec<Partition> {
    let tables = tables(sources);
    if tables.is_empty() {
        return Vec::new();
    }
    let names = tables.join("', '");
    let sql = || {
        format!(
            "SELECT p.partition, p.storage, p.attached, p.lower, p.upper, p.table_name \
             FROM analytics_internal.rollup_partitions AS p WHERE p.table_name IN ('{names}') OR p.partition = 0"
        )
    };
    let rows = read_rows_kept(&format!("partitions of {names}"), sql, &[], |row| {
        let name: String = row.get(6)?;
        Some(Partition {
            table: SOURCES
                .iter()
                .map(|source| source.table)
                .find(|table| *table == name)?,
            oid: oid(row.get(1)?),
            storage: oid(row.get(2)?),
            attached: row.get(3)?,
            lower: to_microseconds(row.get(4)?),
            upper: to_microseconds(row.get(5)?),
        })
    });
    rows.into_iter().flatten().collect()
}

fn oid(number: i64) -> pg_sys::Oid {
    u32::try_from(number).map_or(pg_sys::Oid::INVALID, pg_sys::Oid::from)
}

/// Says which database the partitions are of: one that was restored, or upgraded by `pg_upgrade`, differs.
fn this_database() -> Partition {
    Partition {
        table: RUNS.table,
        oid: pg_sys::Oid::INVALID,
        storage: table_named(c"analytics", c"agent_runs"),
        attached: system_identifier(),
        lower: MINUS_INFINITY,
        upper: INFINITY,
    }
}

/// Never changes while a server runs, and costs reading a file.
fn system_identifier() -> i64 {
    if let Some(known) = KNOWN.with_borrow(|known| known.system_identifier) {
        return known;
    }
    let sql = "SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c";
    let found = read_one::<i64>(sql, &[]).unwrap_or(0);
    KNOWN.with_borrow_mut(|known| known.system_identifier = Some(found));
    found
}

/// What `rollup_partitions` should hold.
fn expected() -> impl Iterator<Item = Partition> {
    let partitions = tables(ALL_SOURCES).into_iter().flat_map(current);
    partitions.chain(std::iter::once_with(this_database))
}

#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn source_partitions() -> TableIterator<
    'static,
    (
        name!(partition, i64),
        name!(storage, i64),
        name!(attached, i64),
        name!(lower, TimestampWithTimeZone),
        name!(upper, TimestampWithTimeZone),
        name!(table_name, &'static str),
    ),
> {
    TableIterator::new(expected().map(|partition| {
        (
            i64::from(partition.oid.to_u32()),
            i64::from(partition.storage.to_u32()),
            partition.attached,
            to_time(partition.lower),
            to_time(partition.upper),
            partition.table,
        )
    }))
}

/// The same as the migration asks for it that made the table, when there was one partitioned source.
#[pg_extern(schema = "analytics_internal", stable, parallel_restricted)]
fn run_partitions() -> TableIterator<
    'static,
    (
        name!(partition, i64),
        name!(storage, i64),
        name!(attached, i64),
        name!(lower, TimestampWithTimeZone),
        name!(upper, TimestampWithTimeZone),
    ),
> {
    let of_runs = expected().filter(|partition| partition.table == RUNS.table);
    TableIterator::new(of_runs.map(|partition| {
        (
            i64::from(partition.oid.to_u32()),
            i64::from(partition.storage.to_u32()),
            partition.attached,
            to_time(partition.lower),
            to_time(partition.upper),
        )
    }))
}
