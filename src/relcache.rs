//! Messages that a relation has changed, for all who remember something of the catalogue.
//!
//! A process of Postgres has ten places for such callbacks and ends with FATAL when an eleventh is asked for. It shares
//! them with every other extension that it loads, so this library takes one, however many listen.

use std::cell::RefCell;

use pgrx::pg_sys;
use pgrx::prelude::*;

/// Called with the relation that has changed; an invalid id means any.
type Listener = fn(pg_sys::Oid);

thread_local! {
    static LISTENERS: RefCell<Vec<Listener>> = const { RefCell::new(Vec::new()) };
}

/// To be called once by each who listens.
pub fn listen(listener: Listener) {
    let is_first = LISTENERS.with_borrow_mut(|listeners| {
        listeners.push(listener);
        listeners.len() == 1
    });
    if is_first {
        // SAFETY: registered once per backend; the function lives as long as the library, which is never unloaded.
        unsafe {
            pg_sys::CacheRegisterRelcacheCallback(Some(at_relation_change), pg_sys::Datum::null());
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_relation_change(_unused: pg_sys::Datum, relation: pg_sys::Oid) {
    LISTENERS.with_borrow(|listeners| {
        for listener in listeners {
            listener(relation);
        }
    });
}
