//! For whom this session speaks. It is kept in the memory of the backend, where no SQL reaches it.
//!
//! An identity ends as a setting would: one of a transaction with it, and one that was set in a transaction or under a
//! savepoint that is rolled back goes with that. Besides, it ends when the session or the role changes, so that a
//! pooler cannot hand it to the next client, and with RESET ALL and DISCARD ALL. It never outlives its token.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{CString, c_int, c_void};
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::errors::raise;
use crate::settings::{SESSION_MARK, SESSION_MARK_NAME};

/// What a verified token says.
#[derive(Debug, Clone)]
pub struct Identity {
    pub user_id: pgrx::Uuid,
    pub workspace_ids: Vec<pgrx::Uuid>,
    pub level: ::tokens::Level,
    pub permissions: Vec<String>,
    /// The token itself, for `logout()`.
    pub token: TokenName,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// By which a token can be revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenName {
    pub issuer: String,
    pub token_id: String,
    /// The login that it comes from, when it was issued here.
    pub family: Option<pgrx::Uuid>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Transaction,
    Session,
}

struct Held {
    identity: Identity,
    roles: Roles,
    mark: CString,
}

/// Who was connected, and as whom. A function with SECURITY DEFINER changes neither.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Roles {
    session: pg_sys::Oid,
    outer: pg_sys::Oid,
}

/// What holds in one transaction or under one savepoint.
#[derive(Clone, Default)]
struct Layer {
    /// 0 outside of transactions, 1 in a transaction, more under savepoints.
    nesting: i32,
    of_session: Option<Rc<Held>>,
    of_transaction: Option<Rc<Held>>,
}

impl Layer {
    fn current(&self) -> Option<&Rc<Held>> {
        self.of_transaction.as_ref().or(self.of_session.as_ref())
    }
}

#[derive(Default)]
struct State {
    /// From the outermost to the innermost; a layer without a change is not there.
    layers: Vec<Layer>,
    marks: u64,
    registered: bool,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
    /// The tokens whose use is in the audit log.
    static USED: RefCell<HashSet<TokenName>> = RefCell::default();
}

/// The identity of the caller. An expired one is an error rather than none: the rights of the role, which would then
/// count, may be wider.
pub fn identity() -> Option<Identity> {
    let mark = SESSION_MARK.get();
    // SAFETY: reads a variable of this backend.
    if unsafe { pg_sys::ParallelWorkerNumber } >= 0 {
        return refuse_worker(mark.is_some_and(|mark| !mark.is_empty()));
    }
    let held = STATE.with_borrow(|state| state.layers.last().and_then(|l| l.current().cloned()))?;
    if held.roles != roles() {
        forget();
        return None;
    }
    // Within a function of SECURITY DEFINER its owner acts, for whom the token says nothing.
    // SAFETY: reads a variable of this backend.
    if Some(&held.mark) != mark.as_ref() || unsafe { pg_sys::GetUserId() } != held.roles.outer {
        return None;
    }
    if super::has_expired(held.identity.expires_at) {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
            "the token of this session has expired",
            "Call analytics.authenticate() with a fresh one, or analytics.logout().",
        )
    }
    Some(held.identity.clone())
}

/// A parallel worker has the setting, but not the memory.
fn refuse_worker(is_authenticated: bool) -> Option<Identity> {
    if is_authenticated {
        raise(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "a parallel worker does not know the identity of an authenticated session",
            "Declare the function that reads these tables PARALLEL RESTRICTED, as theirs are.",
        )
    }
    None
}

/// Makes the session speak for somebody from here on.
pub fn assume(identity: Identity, scope: Scope) {
    register_callbacks();
    let held = STATE.with_borrow_mut(|state| {
        state.marks = state.marks.wrapping_add(1);
        Rc::new(Held {
            identity,
            roles: roles(),
            // Digits have no zero byte.
            mark: CString::new(state.marks.to_string()).unwrap_or_default(),
        })
    });
    set_mark(&held.mark, scope);
    // SAFETY: reads a variable of this backend, inside a transaction.
    let nesting = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    STATE.with_borrow_mut(|state| {
        let mut layer = state.layers.last().cloned().unwrap_or_default();
        if layer.nesting == nesting {
            state.layers.pop();
        }
        layer.nesting = nesting;
        match scope {
            Scope::Transaction => layer.of_transaction = Some(held),
            Scope::Session => {
                layer.of_transaction = None;
                layer.of_session = Some(held);
            }
        }
        state.layers.push(layer);
    });
}

/// The user for whom the session speaks, for the records; also where no right follows from it.
pub fn user_id() -> Option<pgrx::Uuid> {
    STATE.with_borrow(|state| {
        let held = state.layers.last().and_then(Layer::current)?;
        (held.roles == roles()).then_some(held.identity.user_id)
    })
}

/// Whether the session speaks by this token.
pub fn is_of(token: &TokenName) -> bool {
    STATE.with_borrow(|state| {
        let held = state.layers.last().and_then(Layer::current);
        held.is_some_and(|held| held.identity.token == *token)
    })
}

/// Whether this connection has not yet used the token, as far as the transactions that have ended know.
pub fn is_first_use(token: &TokenName) -> bool {
    const MOST_REMEMBERED: usize = 1000;
    USED.with_borrow_mut(|used| {
        if used.len() >= MOST_REMEMBERED {
            used.clear();
        }
        used.insert(token.clone())
    })
}

/// What was recorded of the first uses may have been rolled back: it is to be recorded again.
fn forget_uses() {
    USED.with_borrow_mut(HashSet::clear);
}

/// Who was there, to be given back to [`resume`]. Between the two, the session speaks for nobody, and goes on speaking
/// for nobody when an error comes between them.
pub struct Suspended(Vec<Layer>);

pub fn suspend() -> Suspended {
    Suspended(STATE.with_borrow_mut(|state| std::mem::take(&mut state.layers)))
}

pub fn resume(suspended: Suspended) {
    STATE.with_borrow_mut(|state| state.layers = suspended.0);
}

/// Ends every identity at once, and for good: a rollback does not bring it back.
pub fn forget() {
    STATE.with_borrow_mut(|state| state.layers.clear());
}

fn set_mark(mark: &CString, scope: Scope) {
    let action = match scope {
        Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Scope::Session => pg_sys::GucAction::GUC_ACTION_SET,
    };
    // SAFETY: both strings end with a zero byte and are copied.
    unsafe {
        pg_sys::set_config_option(
            SESSION_MARK_NAME.as_ptr(),
            mark.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

fn roles() -> Roles {
    // SAFETY: reads variables of this backend.
    unsafe {
        Roles {
            session: pg_sys::GetSessionUserId(),
            outer: pg_sys::GetOuterUserId(),
        }
    }
}

/// Whatever runs next: has the role changed since? Asked at every statement, because a role that was changed twice may
/// be the same as before, with another client behind it.
///
/// Never panics: the hooks that call it have nobody to catch it.
fn notice_change_of_role() {
    let _ = STATE.try_with(|state| {
        if let Ok(mut state) = state.try_borrow_mut() {
            let held = state.layers.last().and_then(Layer::current);
            if held.is_some_and(|held| held.roles != roles()) {
                state.layers.clear();
            }
        }
    });
}

fn register_callbacks() {
    if STATE.with_borrow_mut(|state| std::mem::replace(&mut state.registered, true)) {
        return;
    }
    // SAFETY: registered once per backend; the functions live as long as the library, which is never unloaded.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
        NEXT_EXECUTOR_START = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(at_executor_start);
        NEXT_UTILITY = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(at_utility);
    }
}

static mut NEXT_EXECUTOR_START: pg_sys::ExecutorStart_hook_type = None;
static mut NEXT_UTILITY: pg_sys::ProcessUtility_hook_type = None;

/// Without pgrx's guard, which would rebuild each error that passes and lose the names of constraints and the position
/// in the statement.
mod unguarded {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        pub fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: std::ffi::c_int);
        pub fn standard_ProcessUtility(
            statement: *mut pg_sys::PlannedStmt,
            text: *const std::ffi::c_char,
            read_only_tree: bool,
            context: pg_sys::ProcessUtilityContext::Type,
            parameters: pg_sys::ParamListInfo,
            environment: *mut pg_sys::QueryEnvironment,
            receiver: *mut pg_sys::DestReceiver,
            completion: *mut pg_sys::QueryCompletion,
        );
    }
}

unsafe extern "C-unwind" fn at_executor_start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    notice_change_of_role();
    // SAFETY: passes on what it was given. An error jumps over this frame, which has nothing to drop.
    unsafe {
        let next = NEXT_EXECUTOR_START.unwrap_or(unguarded::standard_ExecutorStart);
        next(query, flags);
    }
}

#[allow(clippy::too_many_arguments)] // Postgres's
unsafe extern "C-unwind" fn at_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const std::ffi::c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    notice_change_of_role();
    // SAFETY: as above.
    unsafe {
        let next = NEXT_UTILITY.unwrap_or(unguarded::standard_ProcessUtility);
        next(
            statement,
            text,
            read_only_tree,
            context,
            parameters,
            environment,
            receiver,
            completion,
        );
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _unused: *mut c_void,
) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_COMMIT => {
            notice_change_of_role();
            STATE.with_borrow_mut(|state| {
                let of_session = state.layers.pop().and_then(|layer| layer.of_session);
                state.layers.clear();
                if of_session.is_some() {
                    state.layers.push(Layer {
                        of_session,
                        ..Layer::default()
                    });
                }
            });
        }
        // A prepared transaction may still roll back.
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            STATE.with_borrow_mut(|state| state.layers.retain(|layer| layer.nesting == 0));
            forget_uses();
        }
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    _this: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _unused: *mut c_void,
) {
    // SAFETY: reads a variable of this backend; the subtransaction that ends is still the current one.
    let ending = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    STATE.with_borrow_mut(|state| match event {
        pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => {
            if let Some(mut layer) = state.layers.pop_if(|layer| layer.nesting >= ending) {
                layer.nesting = ending - 1;
                state.layers.retain(|other| other.nesting < layer.nesting);
                state.layers.push(layer);
            }
        }
        pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => {
            state.layers.retain(|layer| layer.nesting < ending);
            forget_uses();
        }
        _ => {}
    });
}
