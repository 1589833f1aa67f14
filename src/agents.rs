//! Agents: their ids, and the trigger that admits rows which name one.
//!
//! The trigger runs for every row that is written, so its fast path is two column reads and one look-up in a set
//! that this backend keeps of workspaces and agents it has seen. It fires AFTER ROW: a BEFORE ROW trigger, or a
//! transition table on a partitioned table, would make COPY insert row by row.

use std::cell::RefCell;
use std::collections::HashSet;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::relcache;
use crate::roles::as_role;
use crate::sql_functions;

type Uuid16 = [u8; 16];

/// A bound for the memory of one backend: 100,000 agents are about 5 MB.
const MOST_REMEMBERED: usize = 100_000;

/// A transaction holds one advisory lock per agent it registers; a load with more new agents uses the log.
const MOST_LOCKS: u32 = 64;

#[derive(Default)]
struct Admitted {
    seen: HashSet<(Uuid16, Uuid16)>,
    last: Option<(Uuid16, Uuid16)>,
    columns: Option<Columns>,
    locks_held: u32,
    callbacks_registered: bool,
}

/// Where a relation keeps the two ids: partitions may differ in the order of their columns.
#[derive(Clone, Copy)]
struct Columns {
    relation: pg_sys::Oid,
    workspace_id: i32,
    agent_id: i32,
}

thread_local! {
    static ADMITTED: RefCell<Admitted> = RefCell::default();
}

/// The version 5 UUID of a name in the name space of its workspace.
#[pg_extern(sql = false)]
fn agent_id(workspace_id: pgrx::Uuid, agent_name: &str) -> pgrx::Uuid {
    let name_space = uuid::Uuid::from_bytes(*workspace_id.as_bytes());
    pgrx::Uuid::from_bytes(*uuid::Uuid::new_v5(&name_space, agent_name.as_bytes()).as_bytes())
}

sql_functions! {
    /// Row trigger of every table that names an agent.
    fn admit_agent(call) {
        // SAFETY: Postgres gives a trigger function its TriggerData; `trigger_data` checks that it did.
        unsafe {
            let data = call.trigger_data();
            let relation = (*data).tg_relation;
            let is_update =
                (*data).tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE;
            let row = if is_update {
                (*data).tg_newtuple
            } else {
                (*data).tg_trigtuple
            };
            let columns = columns_of(relation);
            let key = (
                read_uuid(row, relation, columns.workspace_id),
                read_uuid(row, relation, columns.agent_id),
            );
            if !already_admitted(&key) {
                admit(key, (*(*relation).rd_rel).relowner);
            }
        }
        pg_sys::Datum::null()
    }
}

sql_functions! {
    /// Statement trigger of workspaces and agents: tells every backend, at commit, to forget what it has seen.
    fn forget_admitted(call) {
        forget();
        // SAFETY: as in `admit_agent`.
        unsafe { pg_sys::CacheInvalidateRelcache((*call.trigger_data()).tg_relation) };
        pg_sys::Datum::null()
    }
}

/// # Safety
/// `relation` is an open relation.
unsafe fn columns_of(relation: pg_sys::Relation) -> Columns {
    // SAFETY: the descriptor of an open relation is valid; a name that is not there gives a negative number.
    unsafe {
        let oid = (*relation).rd_id;
        if let Some(columns) = ADMITTED.with_borrow(|state| state.columns)
            && columns.relation == oid
        {
            return columns;
        }
        let columns = Columns {
            relation: oid,
            workspace_id: pg_sys::SPI_fnumber((*relation).rd_att, c"workspace_id".as_ptr()),
            agent_id: pg_sys::SPI_fnumber((*relation).rd_att, c"agent_id".as_ptr()),
        };
        if columns.workspace_id <= 0 || columns.agent_id <= 0 {
            raise(
                PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
                "the table of this trigger lacks workspace_id or agent_id",
                "Drop the trigger: it belongs on the tables that setup() makes.",
            )
        }
        register_callbacks();
        ADMITTED.with_borrow_mut(|state| state.columns = Some(columns));
        columns
    }
}

/// # Safety
/// `row` is a tuple of `relation`, and the column a uuid that is NOT NULL.
unsafe fn read_uuid(row: pg_sys::HeapTuple, relation: pg_sys::Relation, column: i32) -> Uuid16 {
    // SAFETY: as above; a uuid is sixteen bytes, stored by reference.
    unsafe {
        let mut is_null = false;
        let datum = pg_sys::SPI_getbinval(row, (*relation).rd_att, column, &raw mut is_null);
        if is_null {
            [0; 16]
        } else {
            *datum.cast_mut_ptr::<Uuid16>()
        }
    }
}

fn already_admitted(key: &(Uuid16, Uuid16)) -> bool {
    ADMITTED.with_borrow_mut(|state| {
        if state.last.as_ref() == Some(key) {
            return true;
        }
        let known = state.seen.contains(key);
        if known {
            state.last = Some(*key);
        }
        known
    })
}

fn admit(key: (Uuid16, Uuid16), owner: pg_sys::Oid) {
    // A repeatable snapshot may be older than the workspace: the foreign key, which looks past it, decides alone.
    let fresh_snapshot = !uses_transaction_snapshot();
    as_role(owner, || {
        if fresh_snapshot {
            require_known_workspace(key.0);
        }
        register(key, fresh_snapshot);
    });
    ADMITTED.with_borrow_mut(|state| {
        if state.seen.len() >= MOST_REMEMBERED {
            state.seen.clear();
        }
        state.seen.insert(key);
        state.last = Some(key);
    });
}

fn uses_transaction_snapshot() -> bool {
    // SAFETY: reads a variable of this backend.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ.cast_signed() }
}

fn require_known_workspace(workspace: Uuid16) {
    let workspace = pgrx::Uuid::from_bytes(workspace);
    if !exists(
        "SELECT FROM analytics.workspaces WHERE workspace_id = $1",
        &[workspace.into()],
    ) {
        raise(
            PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
            format!("workspace \"{workspace}\" does not exist"),
            "Insert it into analytics.workspaces first, or correct workspace_id.",
        )
    }
}

/// Registers an agent that is new. Inserting it would wait for a transaction that is registering the same agent, so
/// an advisory lock, tried and never waited for, decides who inserts; whoever does not get it leaves a note in the
/// log instead, and nothing is lost should the other transaction roll back.
fn register((workspace, agent): (Uuid16, Uuid16), may_insert: bool) {
    let arguments = [
        pgrx::Uuid::from_bytes(workspace).into(),
        pgrx::Uuid::from_bytes(agent).into(),
    ];
    if exists(
        "SELECT FROM analytics.agents WHERE workspace_id = $1 AND agent_id = $2",
        &arguments,
    ) {
        return;
    }
    let statement = if may_insert && try_lock(&arguments) {
        "INSERT INTO analytics.agents (workspace_id, agent_id, name, discovered) \
         VALUES ($1, $2, $2::text, true) ON CONFLICT DO NOTHING"
    } else {
        "INSERT INTO analytics_internal.agent_discoveries (workspace_id, agent_id) VALUES ($1, $2)"
    };
    Spi::run_with_args(statement, &arguments).unwrap_or_report();
}

fn try_lock(arguments: &[pgrx::datum::DatumWithOid]) -> bool {
    let held = ADMITTED.with_borrow(|state| state.locks_held);
    if held >= MOST_LOCKS {
        return false;
    }
    ADMITTED.with_borrow_mut(|state| state.locks_held = held + 1);
    let sql = "SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended($1::text || $2::text, 1))";
    Spi::get_one_with_args::<bool>(sql, arguments).unwrap_or_report() == Some(true)
}

/// Through `connect_mut`, so that the query sees what was committed after the statement began.
fn exists(sql: &str, arguments: &[pgrx::datum::DatumWithOid]) -> bool {
    Spi::connect_mut(|client| {
        !client
            .update(sql, Some(1), arguments)
            .unwrap_or_report()
            .is_empty()
    })
}

fn forget() {
    ADMITTED.with_borrow_mut(|state| {
        state.seen.clear();
        state.last = None;
        state.columns = None;
    });
}

/// What this backend has seen may stop being true when a transaction rolls back, or when tables change: `forget_admitted`
/// sends a message as if one had.
fn register_callbacks() {
    if ADMITTED.with_borrow_mut(|state| std::mem::replace(&mut state.callbacks_registered, true)) {
        return;
    }
    // SAFETY: registered once per backend; the functions live as long as the library, which is never unloaded.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
    }
    relcache::listen(|_relation| forget());
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _unused: *mut std::ffi::c_void,
) {
    ADMITTED.with_borrow_mut(|state| state.locks_held = 0);
    // A prepared transaction may still roll back; and what an older snapshot shows may have been deleted since.
    let may_not_hold = matches!(
        event,
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE
    );
    if may_not_hold || uses_transaction_snapshot() {
        forget();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    _subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _unused: *mut std::ffi::c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        forget();
    }
}
