//! Which buckets a transaction changes: collected row by row in memory, and written to the log before it commits.
//! Rows older than what is kept are refused here, too.
//!
//! Row triggers, because a transition table on a partitioned table would make COPY insert row by row. The trigger only
//! notes (workspace, agent or user, hour) in a table of this backend, mostly to find that it is there; one log row for
//! each is written when the transaction commits, with the rows themselves, past the executor.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::declarations::{ALL_SOURCES, Entity, HOUR, MOST_TIMES, SOURCES, Sources};
use super::floors;
use super::time::{INFINITY, MINUS_INFINITY, from_datum, to_time};
use crate::errors::{raise, raise_check_violation};
use crate::relcache;
use crate::setup::table_named;
use crate::sql_functions;

type Uuid16 = [u8; 16];

/// About 8 MB of one backend; a transaction that changes more buckets writes them in parts.
const MOST_IN_MEMORY: usize = 65_536;

/// One hour of an agent, a user or, where rows are of neither, the workspace, in microseconds as Postgres counts them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub workspace_id: Uuid16,
    pub entity_id: Option<Uuid16>,
    pub hour: i64,
}

#[derive(Default)]
struct Changes {
    buckets: HashMap<Bucket, Sources>,
    /// Tables of which everything changed.
    everything: Sources,
    /// Workspaces that were deleted.
    workspaces: Vec<Uuid16>,
    /// Rows are moving from one place to another, and nothing else changes.
    is_off: bool,
    last: Option<(Bucket, Sources)>,
    /// Written inside of a subtransaction: gone when that is rolled back, whoever noted it.
    written_in_subtransaction: Sources,
    triggers: HashMap<pg_sys::Oid, Columns>,
    callbacks_registered: bool,
}

/// Where a table or partition keeps what makes a bucket. The first time that is not NULL counts.
#[derive(Clone, Copy)]
struct Columns {
    source: Sources,
    workspace_id: i32,
    entity_id: Option<i32>,
    times: [Option<i32>; MOST_TIMES],
}

thread_local! {
    static CHANGES: RefCell<Changes> = RefCell::default();
}

sql_functions! {
    fn capture_changes(call) {
        // SAFETY: `trigger_data` checks that this is a trigger; its relation is open and its tuples belong to it.
        unsafe {
            let data = call.trigger_data();
            register_callbacks();
            let event = (*data).tg_event & pg_sys::TRIGGER_EVENT_OPMASK;
            if event == pg_sys::TRIGGER_EVENT_TRUNCATE {
                let sources = sources_of((*data).tg_trigger);
                CHANGES.with_borrow_mut(|changes| changes.everything |= sources);
            } else if !CHANGES.with_borrow(|changes| changes.is_off) {
                let relation = (*data).tg_relation;
                let columns = columns_of(relation, (*data).tg_trigger);
                let is_insert = event == pg_sys::TRIGGER_EVENT_INSERT;
                let old = (!is_insert).then_some((*data).tg_trigtuple);
                let new = match event {
                    pg_sys::TRIGGER_EVENT_INSERT => Some((*data).tg_trigtuple),
                    pg_sys::TRIGGER_EVENT_UPDATE => Some((*data).tg_newtuple),
                    _ => None,
                };
                note_rows(old, new, relation, &columns);
            }
        }
        pg_sys::Datum::null()
    }

    /// Row trigger of workspaces: what rollups hold of a workspace goes with it.
    fn capture_workspace(call) {
        // SAFETY: as above.
        unsafe {
            let data = call.trigger_data();
            register_callbacks();
            let relation = (*data).tg_relation;
            let column = pg_sys::SPI_fnumber((*relation).rd_att, c"workspace_id".as_ptr());
            let workspace = read_uuid((*data).tg_trigtuple, relation, column).unwrap_or_default();
            CHANGES.with_borrow_mut(|changes| changes.workspaces.push(workspace));
        }
        pg_sys::Datum::null()
    }
}

/// What this transaction has changed and not written to the log yet: buckets, tables that changed as a whole, and
/// workspaces that were deleted.
pub fn with_pending<T>(read: impl FnOnce(&HashMap<Bucket, Sources>, Sources, &[Uuid16]) -> T) -> T {
    CHANGES.with_borrow(|changes| read(&changes.buckets, changes.everything, &changes.workspaces))
}

/// Moves rows about without their changes being noted.
pub fn unnoticed<T>(action: impl FnOnce() -> T) -> T {
    register_callbacks(); // the end of the transaction resets it after an error
    CHANGES.with_borrow_mut(|changes| changes.is_off = true);
    let result = action();
    CHANGES.with_borrow_mut(|changes| changes.is_off = false);
    result
}

/// # Safety
/// `trigger` is the trigger that fires.
unsafe fn sources_of(trigger: *const pg_sys::Trigger) -> Sources {
    // SAFETY: a trigger has as many arguments as it says, each a C string.
    let number = unsafe { ((*trigger).tgnargs > 0).then(|| CStr::from_ptr(*(*trigger).tgargs)) };
    match number.and_then(|number| number.to_str().ok()?.parse().ok()) {
        Some(sources) => sources,
        None => raise_wrong_table(),
    }
}

/// # Safety
/// `relation` is open and `trigger` one of its triggers.
unsafe fn columns_of(relation: pg_sys::Relation, trigger: *const pg_sys::Trigger) -> Columns {
    // SAFETY: the descriptor of an open relation is valid; a name that is not there gives a negative number.
    unsafe {
        // A table may have two of these triggers.
        let oid = (*trigger).tgoid;
        let known = CHANGES.with_borrow(|changes| changes.triggers.get(&oid).copied());
        if let Some(columns) = known {
            return columns;
        }
        let bit = sources_of(trigger);
        let Some(source) = SOURCES.iter().find(|source| source.bit == bit) else {
            raise_wrong_table()
        };
        let number = |name: &str| {
            let name = CString::new(name).unwrap_or_default();
            let number = pg_sys::SPI_fnumber((*relation).rd_att, name.as_ptr());
            if number <= 0 {
                raise_wrong_table()
            }
            number
        };
        let columns = Columns {
            source: bit,
            workspace_id: number("workspace_id"),
            entity_id: source.entity.map(Entity::id).map(number),
            times: std::array::from_fn(|place| source.times.get(place).copied().map(number)),
        };
        CHANGES.with_borrow_mut(|changes| changes.triggers.insert(oid, columns));
        columns
    }
}

fn raise_wrong_table() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
        "the table of this trigger lacks a column of its source",
        "Drop the trigger: it belongs on the tables that setup() makes.",
    )
}

/// A row as it was, and as it is. What is older than what is kept is not noted: its rollups stay
/// as they are.
///
/// # Safety
/// The rows are tuples of `relation`, and the columns have the types uuid and timestamptz.
unsafe fn note_rows(
    old: Option<pg_sys::HeapTuple>,
    new: Option<pg_sys::HeapTuple>,
    relation: pg_sys::Relation,
    columns: &Columns,
) {
    // SAFETY: as required of the caller.
    unsafe {
        let limits = floors::limits_of(columns.source);
        let time = |row| time_of(row, relation, columns);
        let (old_time, new_time) = (old.and_then(time), new.and_then(time));
        if let Some(time) = new_time
            && time < limits.floor
            && old_time != new_time
        {
            raise_too_old(relation, columns, time, limits.floor)
        }
        for (row, time) in [(old, old_time), (new, new_time)] {
            if let (Some(row), Some(time)) = (row, time)
                && time >= limits.last
            {
                note(bucket_of(row, relation, columns, time), columns.source);
            }
        }
    }
}

/// # Safety
/// As `note_rows`.
unsafe fn time_of(
    row: pg_sys::HeapTuple,
    relation: pg_sys::Relation,
    columns: &Columns,
) -> Option<i64> {
    columns.times.into_iter().flatten().find_map(|column| {
        let mut is_null = false;
        // SAFETY: as required of the caller.
        let datum =
            unsafe { pg_sys::SPI_getbinval(row, (*relation).rd_att, column, &raw mut is_null) };
        (!is_null).then(|| from_datum(datum))
    })
}

/// # Safety
/// `row` is a tuple of `relation`, and the column one of type uuid.
unsafe fn read_uuid(
    row: pg_sys::HeapTuple,
    relation: pg_sys::Relation,
    column: i32,
) -> Option<Uuid16> {
    let mut is_null = false;
    // SAFETY: as required of the caller; a uuid is sixteen bytes, stored by reference.
    unsafe {
        let datum = pg_sys::SPI_getbinval(row, (*relation).rd_att, column, &raw mut is_null);
        (!is_null).then(|| *datum.cast_mut_ptr::<Uuid16>())
    }
}

/// # Safety
/// As `note_rows`.
unsafe fn bucket_of(
    row: pg_sys::HeapTuple,
    relation: pg_sys::Relation,
    columns: &Columns,
    time: i64,
) -> Bucket {
    // SAFETY: as required of the caller.
    unsafe {
        Bucket {
            workspace_id: read_uuid(row, relation, columns.workspace_id).unwrap_or_default(),
            entity_id: columns
                .entity_id
                .and_then(|column| read_uuid(row, relation, column)),
            hour: super::time::floor(time, HOUR),
        }
    }
}

/// # Safety
/// `relation` is open.
unsafe fn raise_too_old(relation: pg_sys::Relation, columns: &Columns, time: i64, floor: i64) -> ! {
    let column = columns.times.into_iter().flatten().next().unwrap_or(0);
    // SAFETY: as required of the caller; a name that is there is a C string.
    let name = unsafe {
        let name = pg_sys::SPI_fname((*relation).rd_att, column);
        if name.is_null() {
            "time".to_owned()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    };
    let text = |time: i64| {
        let time = to_time(time);
        time.to_iso_string_with_timezone("UTC")
            .unwrap_or_else(|_| time.to_iso_string())
    };
    raise_check_violation(
        &name,
        &text(time),
        &format!("rows before {} are no longer kept", text(floor)),
        "Leave the row out: the rollups of that time are final. How long rows are kept is set by \
         analytics.set_retention().",
    )
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
    let (buckets, everything, workspaces) = CHANGES.with_borrow_mut(|changes| {
        changes.last = None;
        (
            std::mem::take(&mut changes.buckets),
            std::mem::take(&mut changes.everything),
            std::mem::take(&mut changes.workspaces),
        )
    });
    if buckets.is_empty() && everything == 0 && workspaces.is_empty() {
        return;
    }
    // SAFETY: runs inside a transaction.
    if unsafe { pg_sys::GetCurrentTransactionNestLevel() } > 1 {
        let mut sources = buckets.values().fold(everything, |all, one| all | one);
        if !workspaces.is_empty() {
            sources |= ALL_SOURCES;
        }
        CHANGES.with_borrow_mut(|changes| changes.written_in_subtransaction |= sources);
    }
    let log = Log::open();
    for (bucket, sources) in &buckets {
        log.append(&Entry {
            sources: *sources,
            workspace_id: Some(&bucket.workspace_id),
            entity_id: bucket.entity_id.as_ref(),
            bucket: bucket.hour,
            until: None,
        });
    }
    for workspace in &workspaces {
        log.append(&Entry::all_of(ALL_SOURCES, Some(workspace)));
    }
    if everything != 0 {
        log.append(&Entry::all_of(everything, None));
    }
    log.close();
}

/// A row of the log.
struct Entry<'a> {
    sources: Sources,
    workspace_id: Option<&'a Uuid16>,
    entity_id: Option<&'a Uuid16>,
    bucket: i64,
    until: Option<i64>,
}

impl<'a> Entry<'a> {
    fn all_of(sources: Sources, workspace_id: Option<&'a Uuid16>) -> Self {
        Self {
            sources,
            workspace_id,
            entity_id: None,
            bucket: MINUS_INFINITY,
            until: Some(INFINITY),
        }
    }
}

/// The log, open for appending. Past the executor: one row costs a microsecond rather than twenty, and needs neither
/// rights of the writer nor a change of role. The indexes are kept in step, should somebody make one.
struct Log {
    relation: pg_sys::Relation,
    indexes: pg_sys::CatalogIndexState,
    columns: [i32; 5],
}

impl Log {
    fn open() -> Self {
        // SAFETY: look-ups of names, which accept what is not there; the relation stays open until `close`, or until
        // the transaction is aborted.
        unsafe {
            let oid = table_named(c"analytics_internal", c"rollup_changes");
            if oid == pg_sys::Oid::INVALID {
                raise_no_log()
            }
            let mode = pg_sys::RowExclusiveLock.cast_signed();
            let relation = pg_sys::table_open(oid, mode);
            let number = |name: &CStr| pg_sys::SPI_fnumber((*relation).rd_att, name.as_ptr());
            let columns = [
                c"sources",
                c"workspace_id",
                c"entity_id",
                c"bucket",
                c"until",
            ]
            .map(number);
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

    fn append(&self, entry: &Entry) {
        // SAFETY: the values have the types of their columns and live until the row is stored; the arrays are as long
        // as the descriptor says.
        unsafe {
            let descriptor = (*self.relation).rd_att;
            let width = (*descriptor).natts.unsigned_abs() as usize;
            let mut values = vec![pg_sys::Datum::null(); width];
            let mut nulls = vec![true; width];
            let given = [
                Some(pg_sys::Datum::from(entry.sources)),
                entry
                    .workspace_id
                    .map(|id| pg_sys::Datum::from(id.as_ptr())),
                entry.entity_id.map(|id| pg_sys::Datum::from(id.as_ptr())),
                Some(pg_sys::Datum::from(entry.bucket)),
                entry.until.map(pg_sys::Datum::from),
            ];
            for (column, value) in self.columns.iter().zip(given) {
                let place = (column.unsigned_abs() as usize).wrapping_sub(1);
                if let (Some(slot), Some(null), Some(value)) =
                    (values.get_mut(place), nulls.get_mut(place), value)
                {
                    *slot = value;
                    *null = false;
                }
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
    }
    // Partitions come and go, and may have their columns elsewhere.
    relcache::listen(|_relation| CHANGES.with_borrow_mut(|changes| changes.triggers.clear()));
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
            changes.workspaces.clear();
            changes.is_off = false;
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
