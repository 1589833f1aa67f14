//! Attaching, detaching and truncating a partition fires no trigger: the rollups know which partitions they were
//! computed from, and what differs in the catalogue counts as changed.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::time::{INFINITY, MINUS_INFINITY, from_datum, to_time};

/// One partition, and where its rows lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    pub oid: pg_sys::Oid,
    pub storage: pg_sys::Oid,
    pub lower: i64,
    pub upper: i64,
}

/// The partitions of `agent_runs` as they are now, whatever the snapshot: as a query that begins now sees them.
pub fn current() -> Vec<Partition> {
    // SAFETY: look-ups of names accept what is not there. The relation is open and locked while its descriptor is
    // read, and the lock stays, so that no partition goes away before the query that follows.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"analytics".as_ptr(), true);
        let oid = pg_sys::get_relname_relid(c"agent_runs".as_ptr(), schema);
        if oid == pg_sys::Oid::INVALID {
            return Vec::new();
        }
        let relation = pg_sys::table_open(oid, pg_sys::AccessShareLock.cast_signed());
        #[allow(clippy::cast_possible_wrap)] // ASCII
        let is_partitioned =
            (*(*relation).rd_rel).relkind == pg_sys::RELKIND_PARTITIONED_TABLE as std::ffi::c_char;
        let partitions = if is_partitioned {
            read(pg_sys::RelationGetPartitionDesc(relation, true))
        } else {
            Vec::new()
        };
        pg_sys::table_close(relation, pg_sys::NoLock.cast_signed());
        partitions
    }
}

/// # Safety
/// `descriptor` is that of an open relation, partitioned by range of one timestamptz.
unsafe fn read(descriptor: pg_sys::PartitionDesc) -> Vec<Partition> {
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
            Partition {
                oid,
                storage: storage_of(oid),
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

#[pg_extern(schema = "analytics_internal", stable, parallel_safe)]
fn run_partitions() -> TableIterator<
    'static,
    (
        name!(partition, pg_sys::Oid),
        name!(storage, pg_sys::Oid),
        name!(lower, TimestampWithTimeZone),
        name!(upper, TimestampWithTimeZone),
    ),
> {
    TableIterator::new(current().into_iter().map(|partition| {
        (
            partition.oid,
            partition.storage,
            to_time(partition.lower),
            to_time(partition.upper),
        )
    }))
}
