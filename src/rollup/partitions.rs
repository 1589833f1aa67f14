//! Attaching, detaching and truncating a partition fires no trigger: the rollups know which partitions they were
//! computed from, and what differs in the catalogue counts as changed.

use std::cell::RefCell;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::time::{INFINITY, MINUS_INFINITY, from_datum, to_microseconds, to_time};
use crate::query::{read_one, read_rows_kept};
use crate::relcache;
use crate::setup::table_named;

/// One partition, and where its rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partition {
    oid: pg_sys::Oid,
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
    partitions: Option<Vec<Partition>>,
    system_identifier: Option<i64>,
    listens: bool,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// The partitions of `agent_runs` as they are now, whatever the snapshot: as a query that begins now sees them.
fn current() -> Vec<Partition> {
    let oid = table_named(c"analytics", c"agent_runs");
    if oid == pg_sys::Oid::INVALID {
        return Vec::new();
    }
    listen();
    // SAFETY: the relation is open and locked while its descriptor is read, and the lock stays, so that no partition
    // goes away before the query that follows.
    unsafe {
        let relation = pg_sys::table_open(oid, pg_sys::AccessShareLock.cast_signed());
        let partitions = KNOWN
            .with_borrow(|known| known.partitions.clone())
            .unwrap_or_else(|| look_up(relation));
        pg_sys::table_close(relation, pg_sys::NoLock.cast_signed());
        partitions
    }
}

/// # Safety
/// `relation` is open.
unsafe fn look_up(relation: pg_sys::Relation) -> Vec<Partition> {
    // SAFETY: as required of the caller.
    unsafe {
        #[allow(clippy::cast_possible_wrap)] // ASCII
        let is_partitioned =
            (*(*relation).rd_rel).relkind == pg_sys::RELKIND_PARTITIONED_TABLE as std::ffi::c_char;
        let partitions = if is_partitioned {
            let attached = attachments((*relation).rd_id);
            read(pg_sys::RelationGetPartitionDesc(relation, true), &attached)
        } else {
            Vec::new()
        };
        KNOWN.with_borrow_mut(|known| known.partitions = Some(partitions.clone()));
        partitions
    }
}

/// # Safety
/// `descriptor` is that of an open relation, partitioned by range of one timestamptz.
unsafe fn read(
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
        relcache::listen(|_relation| KNOWN.with_borrow_mut(|known| known.partitions = None));
    }
}

/// The catalogue, beside what the rollups were computed from.
pub struct Observed {
    now: Vec<Partition>,
    known: Vec<Partition>,
    /// Rows that say which database the known ones are of.
    origins: Vec<Partition>,
}

/// Needs the rights of the tables' owner.
pub fn observe() -> Observed {
    let now = current();
    let (origins, known) = recorded()
        .into_iter()
        .partition(|partition| partition.oid == pg_sys::Oid::INVALID);
    Observed {
        now,
        known,
        origins,
    }
}

impl Observed {
    /// Ranges of time whose partition is another one, or has lost or got rows in a way that fires no trigger.
    pub fn changed(&self) -> Vec<(i64, i64)> {
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

    fn differing(&self) -> Vec<(i64, i64)> {
        let gone = self.known.iter().filter(|each| !self.now.contains(each));
        let new = self.now.iter().filter(|each| !self.known.contains(each));
        gone.chain(new)
            .map(|partition| (partition.lower, partition.upper))
            .collect()
    }

    fn is_of_this_database(&self) -> bool {
        self.origins == [this_database()]
    }
}

fn recorded() -> Vec<Partition> {
    let sql = "SELECT p.partition, p.storage, p.attached, p.lower, p.upper FROM analytics_internal.rollup_partitions AS p";
    let rows = read_rows_kept(
        sql,
        || sql.to_owned(),
        &[],
        |row| {
            Some(Partition {
                oid: oid(row.get(1)?),
                storage: oid(row.get(2)?),
                attached: row.get(3)?,
                lower: to_microseconds(row.get(4)?),
                upper: to_microseconds(row.get(5)?),
            })
        },
    );
    rows.into_iter().flatten().collect()
}

fn oid(number: i64) -> pg_sys::Oid {
    u32::try_from(number).map_or(pg_sys::Oid::INVALID, pg_sys::Oid::from)
}

/// Says which database the partitions are of: one that was restored, or upgraded by `pg_upgrade`, differs.
fn this_database() -> Partition {
    Partition {
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
    let mut partitions = current();
    partitions.push(this_database());
    TableIterator::new(partitions.into_iter().map(|partition| {
        (
            i64::from(partition.oid.to_u32()),
            i64::from(partition.storage.to_u32()),
            partition.attached,
            to_time(partition.lower),
            to_time(partition.upper),
        )
    }))
}
