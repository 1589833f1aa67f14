//! Which buckets a transaction changes: collected row by row in memory, and written to the log before it commits.
//!
//! Row triggers, because a transition table on a partitioned table would make COPY insert row by row. The trigger only
//! notes (workspace, agent, hour) in a table of this backend, mostly to find that it is there; one log row for each
//! is written when the transaction commits, with the rows themselves, past the executor.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_void};

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::time::from_datum;
use crate::errors::raise;
use crate::fmgr::Call;
use crate::sql_functions;

type Uuid16 = [u8; 16];

const HOUR: i64 = 3_600_000_000;

/// About 8 MB of one backend; a transaction that changes more buckets writes them in parts.
const MOST_IN_MEMORY: usize = 65_536;

/// One hour of one agent, in microseconds as Postgres counts them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub workspace_id: Uuid16,
    pub agent_id: Uuid16,
    pub hour: i64,
}

/// Which tables changed: the sum of the numbers that their triggers are given.
pub type Sources = i32;

#[derive(Default)]
struct Changes {
    buckets: HashMap<Bucket, Sources>,
    /// Tables of which everything changed.
    everything: Sources,
    last: Option<(Bucket, Sources)>,
    /// Written inside of a subtransaction: gone when that is rolled back, whoever noted it.
    written_in_subtransaction: Sources,
    tables: HashMap<pg_sys::Oid, Columns>,
    callbacks_registered: bool,
}

/// Where a table or partition keeps what makes a bucket.
#[derive(Clone, Copy)]
struct Columns {
    source: Sources,
    workspace_id: i32,
    agent_id: i32,
    time: i32,
}

thread_local! {
    static CHANGES: RefCell<Changes> = RefCell::default();
}

sql_functions! {
    fn capture_changes(call) {
        // SAFETY: Postgres gives a trigger function its TriggerData, which `trigger_data` checks; its relation is open
        // and its tuples belong to it.
        unsafe {
            let data = trigger_data(call);
            register_callbacks();
            let event = (*data).tg_event & pg_sys::TRIGGER_EVENT_OPMASK;
            if event == pg_sys::TRIGGER_EVENT_TRUNCATE {
                let source = source_of((*data).tg_trigger);
                CHANGES.with_borrow_mut(|changes| changes.everything |= source);
            } else {
                let relation = (*data).tg_relation;
                let columns = columns_of(relation, (*data).tg_trigger);
                note(bucket_of((*data).tg_trigtuple, relation, &columns), columns.source);
                if event == pg_sys::TRIGGER_EVENT_UPDATE {
                    note(bucket_of((*data).tg_newtuple, relation, &columns), columns.source);
                }
            }
        }
        pg_sys::Datum::null()
    }
}

/// What this transaction has changed and not written to the log yet.
pub fn with_pending<T>(read: impl FnOnce(&HashMap<Bucket, Sources>, Sources) -> T) -> T {
    CHANGES.with_borrow(|changes| read(&changes.buckets, changes.everything))
}

/// # Safety
/// The call information is that of a function call.
unsafe fn trigger_data(call: Call) -> *mut pg_sys::TriggerData {
    // SAFETY: the context is either NULL or a node whose tag says what it is.
    unsafe {
        let context = (*call.info()).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            raise(
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "this function can be called as a trigger only",
                "Use it in CREATE TRIGGER.",
            )
        }
        context.cast()
    }
}

/// # Safety
/// `trigger` is the trigger that fires.
unsafe fn argument<'a>(trigger: *const pg_sys::Trigger, index: i16) -> Option<&'a CStr> {
    // SAFETY: a trigger has as many arguments as it says, each a C string.
    unsafe {
        (index < (*trigger).tgnargs)
            .then(|| CStr::from_ptr(*(*trigger).tgargs.offset(isize::from(index))))
    }
}

/// # Safety
/// As `argument`.
unsafe fn source_of(trigger: *const pg_sys::Trigger) -> Sources {
    // SAFETY: as required of the caller.
    let number = unsafe { argument(trigger, 0) };
    match number.and_then(|number| number.to_str().ok()?.parse().ok()) {
        Some(source) => source,
        None => raise_wrong_table(),
    }
}

/// # Safety
/// `relation` is open and `trigger` one of its triggers.
unsafe fn columns_of(relation: pg_sys::Relation, trigger: *const pg_sys::Trigger) -> Columns {
    // SAFETY: the descriptor of an open relation is valid; a name that is not there gives a negative number.
    unsafe {
        let oid = (*relation).rd_id;
        let known = CHANGES.with_borrow(|changes| changes.tables.get(&oid).copied());
        if let Some(columns) = known {
            return columns;
        }
        let number = |name: &CStr| pg_sys::SPI_fnumber((*relation).rd_att, name.as_ptr());
        let columns = Columns {
            source: source_of(trigger),
            workspace_id: number(c"workspace_id"),
            agent_id: number(c"agent_id"),
            time: argument(trigger, 1).map_or(-1, number),
        };
        if columns.workspace_id <= 0 || columns.agent_id <= 0 || columns.time <= 0 {
            raise_wrong_table()
        }
        CHANGES.with_borrow_mut(|changes| changes.tables.insert(oid, columns));
        columns
    }
}

fn raise_wrong_table() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
        "the table of this trigger lacks workspace_id, agent_id or the time column",
        "Drop the trigger: it belongs on the tables that setup() makes.",
    )
}

/// # Safety
/// `row` is a tuple of `relation`, and the columns are two of type uuid and one of type timestamptz, all NOT NULL.
unsafe fn bucket_of(
    row: pg_sys::HeapTuple,
    relation: pg_sys::Relation,
    columns: &Columns,
) -> Bucket {
    // SAFETY: as required of the caller; a uuid is sixteen bytes, stored by reference.
    unsafe {
        let read = |column| {
            let mut is_null = false;
            pg_sys::SPI_getbinval(row, (*relation).rd_att, column, &raw mut is_null)
        };
        let uuid = |column| {
            let datum = read(column);
            if datum.is_null() {
                [0; 16]
            } else {
                *datum.cast_mut_ptr::<Uuid16>()
            }
        };
        let time = from_datum(read(columns.time));
        Bucket {
            workspace_id: uuid(columns.workspace_id),
            agent_id: uuid(columns.agent_id),
            // Postgres counts from the start of an hour, the first of the year 2000.
            hour: time.saturating_sub(time.rem_euclid(HOUR)),
        }
    }
}

fn note(bucket: Bucket, source: Sources) {
    let is_full = CHANGES.with_borrow_mut(|changes| {
        if let Some((last, sources)) = &changes.last
            && *last == bucket
            && sources & source == source
        {
            return false;
        }
        let sources = changes.buckets.entry(bucket).or_default();
        *sources |= source;
        changes.last = Some((bucket, *sources));
        changes.buckets.len() >= MOST_IN_MEMORY
    });
    if is_full {
        write_to_log();
    }
}

/// Appends what was noted to the log, and forgets it.
pub fn write_to_log() {
    let (buckets, everything) = CHANGES.with_borrow_mut(|changes| {
        changes.last = None;
        (
            std::mem::take(&mut changes.buckets),
            std::mem::take(&mut changes.everything),
        )
    });
    if buckets.is_empty() && everything == 0 {
        return;
    }
    // SAFETY: runs inside a transaction.
    if unsafe { pg_sys::GetCurrentTransactionNestLevel() } > 1 {
        let sources = buckets.values().fold(everything, |all, one| all | one);
        CHANGES.with_borrow_mut(|changes| changes.written_in_subtransaction |= sources);
    }
    let log = Log::open();
    for (bucket, sources) in &buckets {
        log.append(*sources, Some(bucket));
    }
    if everything != 0 {
        log.append(everything, None);
    }
    log.close();
}

/// The log, open for appending. Past the executor: one row costs a microsecond rather than twenty, and needs neither
/// rights of the writer nor a change of role. The indexes are kept in step, should somebody make one.
struct Log {
    relation: pg_sys::Relation,
    indexes: pg_sys::CatalogIndexState,
    columns: [i32; 4],
}

impl Log {
    fn open() -> Self {
        // SAFETY: look-ups of names, which accept what is not there; the relation stays open until `close`, or until
        // the transaction is aborted.
        unsafe {
            let schema = pg_sys::get_namespace_oid(c"analytics_internal".as_ptr(), true);
            let oid = pg_sys::get_relname_relid(c"rollup_changes".as_ptr(), schema);
            if oid == pg_sys::Oid::INVALID {
                raise_no_log()
            }
            let mode = pg_sys::RowExclusiveLock.cast_signed();
            let relation = pg_sys::table_open(oid, mode);
            let number = |name: &CStr| pg_sys::SPI_fnumber((*relation).rd_att, name.as_ptr());
            let columns = [c"sources", c"workspace_id", c"agent_id", c"bucket"].map(number);
            if columns.iter().any(|column| *column <= 0) {
                raise_no_log()
            }
            Self {
                relation,
                indexes: pg_sys::CatalogOpenIndexes(relation),
                columns,
            }
        }
    }

    fn append(&self, sources: Sources, bucket: Option<&Bucket>) {
        // SAFETY: the values have the types of their columns and live until the row is stored; the arrays are as long
        // as the descriptor says.
        unsafe {
            let descriptor = (*self.relation).rd_att;
            let width = (*descriptor).natts.unsigned_abs() as usize;
            let mut values = vec![pg_sys::Datum::null(); width];
            let mut nulls = vec![true; width];
            let mut set = |column: i32, value: pg_sys::Datum| {
                let place = (column.unsigned_abs() as usize).wrapping_sub(1);
                if let (Some(slot), Some(null)) = (values.get_mut(place), nulls.get_mut(place)) {
                    *slot = value;
                    *null = false;
                }
            };
            let [
                sources_column,
                workspace_column,
                agent_column,
                bucket_column,
            ] = self.columns;
            set(sources_column, pg_sys::Datum::from(sources));
            if let Some(bucket) = bucket {
                set(
                    workspace_column,
                    pg_sys::Datum::from(bucket.workspace_id.as_ptr()),
                );
                set(agent_column, pg_sys::Datum::from(bucket.agent_id.as_ptr()));
                set(bucket_column, pg_sys::Datum::from(bucket.hour));
            }
            let row = pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::CatalogTupleInsertWithInfo(self.relation, row, self.indexes);
            pg_sys::heap_freetuple(row);
        }
    }

    fn close(self) {
        // SAFETY: closes what `open` has opened; the lock stays to the end of the transaction.
        unsafe {
            pg_sys::CatalogCloseIndexes(self.indexes);
            pg_sys::table_close(self.relation, pg_sys::NoLock.cast_signed());
        }
    }
}

fn raise_no_log() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the table analytics_internal.rollup_changes does not exist or lacks a column",
        "Run SELECT analytics.setup(); it makes the tables of shadower_analytics.",
    )
}

fn register_callbacks() {
    if CHANGES.with_borrow_mut(|changes| std::mem::replace(&mut changes.callbacks_registered, true))
    {
        return;
    }
    // SAFETY: registered once per backend; the functions live as long as the library, which is never unloaded.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_event), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_event), std::ptr::null_mut());
        pg_sys::CacheRegisterRelcacheCallback(Some(at_relation_change), pg_sys::Datum::null());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_event(
    event: pg_sys::XactEvent::Type,
    _unused: *mut c_void,
) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT | pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => {
            write_to_log();
        }
        _ => CHANGES.with_borrow_mut(|changes| {
            changes.buckets.clear();
            changes.everything = 0;
            changes.last = None;
            changes.written_in_subtransaction = 0;
        }),
    }
}

/// What a subtransaction noted and rolled back stays: a bucket computed once more does no harm. What it has written
/// is gone, and may have been noted before it began.
#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_event(
    event: pg_sys::SubXactEvent::Type,
    _subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _unused: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        CHANGES.with_borrow_mut(|changes| changes.everything |= changes.written_in_subtransaction);
    }
}

/// Partitions come and go, and may have their columns elsewhere.
#[pg_guard]
unsafe extern "C-unwind" fn at_relation_change(_unused: pg_sys::Datum, _relation: pg_sys::Oid) {
    CHANGES.with_borrow_mut(|changes| changes.tables.clear());
}
