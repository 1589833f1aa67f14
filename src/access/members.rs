//! The levels of each database role, cached by this backend until something changes.
//!
//! The rows come from `workspace_members`. They are read as the owner of that table, because a tenant may not read it,
//! and because a policy of the table that reads the table itself would recurse forever. Every statement of a tenant
//! needs the levels, hence the cache. An invalidation message says that a member, a gateway or a role has changed and
//! empties it. Postgres sends the message after the transaction has become visible, so what is read next is never older
//! than the message.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::query::read_rows;
use crate::relcache;
use crate::roles::as_role;
use crate::setup::{relation_owner, table_named};
use crate::sql_functions;
use ::tokens::Level;

/// What a role has by itself and through the roles that it inherits from.
pub struct Access {
    workspaces: Vec<(pgrx::Uuid, Level)>,
    /// The most that the claims of a trusted gateway can give; only claims count for such a role.
    pub gateway: Option<Level>,
}

impl Access {
    pub fn workspaces_from(&self, minimum: Level) -> Vec<pgrx::Uuid> {
        let mut found: Vec<pgrx::Uuid> = self
            .workspaces
            .iter()
            .filter_map(|(workspace, level)| (*level >= minimum).then_some(*workspace))
            .collect();
        found.dedup();
        found
    }
}

/// A bound for the memory of a backend that changes its role all the time.
const MOST_REMEMBERED: usize = 1000;

#[derive(Default)]
struct Known {
    roles: HashMap<pg_sys::Oid, Rc<Access>>,
    /// The tables behind the answers.
    tables: [pg_sys::Oid; 2],
    /// Counts the messages, so that one which comes during the reading is noticed.
    messages: u64,
    callbacks_registered: bool,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

pub fn access_of(role: pg_sys::Oid) -> Rc<Access> {
    register_callbacks();
    // SAFETY: reads messages of other backends, as every lock does; nothing of ours is borrowed meanwhile.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    let (known, messages) =
        KNOWN.with_borrow(|known| (known.roles.get(&role).cloned(), known.messages));
    if let Some(access) = known {
        return access;
    }
    // SAFETY: reads the state of this backend.
    if unsafe { pg_sys::IsInParallelMode() } {
        // No new snapshot can be had, and what an older one shows must not be kept.
        return Rc::new(read(role));
    }
    let tables = [members_table(), gateways_table()];
    let access = Rc::new(with_latest_snapshot(|| read(role)));
    KNOWN.with_borrow_mut(|known| {
        if known.messages == messages {
            if known.roles.len() >= MOST_REMEMBERED {
                known.roles.clear();
            }
            known.tables = tables;
            known.roles.insert(role, Rc::clone(&access));
        }
    });
    access
}

/// The snapshot of the statement may be older than a message that has come and gone.
fn with_latest_snapshot<T>(action: impl FnOnce() -> T) -> T {
    // SAFETY: pushed and popped here; after an error the end of the transaction pops it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let result = action();
    // SAFETY: as above.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

fn read(role: pg_sys::Oid) -> Access {
    let sql = "
        SELECT m.workspace_id, m.access_level
        FROM analytics.workspace_members AS m
        JOIN pg_catalog.pg_roles AS r ON r.rolname = m.database_role
        WHERE pg_catalog.pg_has_role($1, r.oid, 'USAGE') AND analytics_internal.is_member_role(r.oid)
        UNION ALL
        SELECT NULL, g.access_level
        FROM analytics_internal.trusted_gateways AS g
        JOIN pg_catalog.pg_roles AS r ON r.rolname = g.database_role
        WHERE r.oid = $1 AND analytics_internal.is_member_role(r.oid)
        ORDER BY 1";
    let rows = as_role(owner(), || {
        read_rows(sql, &[role.into()], |row| {
            (row.get::<pgrx::Uuid>(1), row.get::<String>(2))
        })
    });
    let mut access = Access {
        workspaces: Vec::with_capacity(rows.len()),
        gateway: None,
    };
    for (workspace, word) in rows {
        // The tables check their words; should one be wrong all the same, it is worth the least.
        let level = word
            .as_deref()
            .and_then(Level::from_name)
            .unwrap_or(Level::Viewer);
        match workspace {
            Some(workspace) => access.workspaces.push((workspace, level)),
            None => access.gateway = Some(level),
        }
    }
    access
}

/// The owner of the tables.
pub fn owner() -> pg_sys::Oid {
    // SAFETY: runs inside a transaction; gives an invalid id for an invalid one.
    unsafe { relation_owner(members_table()) }
}

fn members_table() -> pg_sys::Oid {
    table_named(c"analytics", c"workspace_members")
}

fn gateways_table() -> pg_sys::Oid {
    table_named(c"analytics_internal", c"trusted_gateways")
}

sql_functions! {
    /// Row trigger of the two tables: tells every backend, at commit, that a row has changed; this one at once.
    fn forget_access(call) {
        // SAFETY: `trigger_data` checks that this is a trigger; its relation is open.
        unsafe { pg_sys::CacheInvalidateRelcache((*call.trigger_data()).tg_relation) };
        pg_sys::Datum::null()
    }
}

fn register_callbacks() {
    if KNOWN.with_borrow_mut(|known| std::mem::replace(&mut known.callbacks_registered, true)) {
        return;
    }
    relcache::listen(at_relation_change);
    // SAFETY: registered once per backend; the functions live as long as the library, which is never unloaded.
    unsafe {
        for catalogue in [
            pg_sys::SysCacheIdentifier::AUTHOID,
            pg_sys::SysCacheIdentifier::AUTHMEMROLEMEM,
        ] {
            pg_sys::CacheRegisterSyscacheCallback(
                catalogue.cast_signed(),
                Some(at_role_change),
                pg_sys::Datum::null(),
            );
        }
    }
}

fn at_relation_change(relation: pg_sys::Oid) {
    KNOWN.with_borrow_mut(|known| {
        known.messages = known.messages.wrapping_add(1);
        if relation == pg_sys::Oid::INVALID || known.tables.contains(&relation) {
            known.roles.clear();
        }
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn at_role_change(
    _unused: pg_sys::Datum,
    _catalogue: std::ffi::c_int,
    _hash: pg_sys::uint32,
) {
    KNOWN.with_borrow_mut(|known| {
        known.messages = known.messages.wrapping_add(1);
        known.roles.clear();
    });
}
