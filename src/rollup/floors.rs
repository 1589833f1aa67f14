//! How far back raw rows are kept, as the triggers and the refresh ask for it.

use std::cell::RefCell;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;

use super::declarations::{SOURCES, Sources};
use super::owner;
use super::time::{MINUS_INFINITY, to_microseconds};
use crate::query::read_rows_kept;
use crate::relcache;
use crate::roles::as_role;
use crate::setup::table_named;
use crate::sql_functions;

/// A time for each of `SOURCES`.
pub type Floors = [i64; SOURCES.len()];

const NOTHING_IS_OLD: Floors = [MINUS_INFINITY; SOURCES.len()];

/// Two limits for the rows of a source.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Rows that are older are refused.
    pub floor: i64,
    /// Rows that are older are gone or about to go, and what rollups hold of that time stays.
    pub last: i64,
}

#[derive(Default)]
struct Known {
    floors: Option<[Floors; 2]>,
    table: Option<pg_sys::Oid>,
    listens: bool,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

sql_functions! {
    /// Row trigger of `retention`: makes all backends forget what they know of it.
    fn forget_floors(call) {
        KNOWN.with_borrow_mut(|known| known.floors = None);
        // SAFETY: `trigger_data` checks that this is a trigger; its relation is open.
        unsafe { pg_sys::CacheInvalidateRelcache((*call.trigger_data()).tg_relation) };
        pg_sys::Datum::null()
    }
}

/// Asked for each row that is written.
pub fn limits_of(source: Sources) -> Limits {
    let [floors, lasts] = KNOWN
        .with_borrow(|known| known.floors)
        .unwrap_or_else(look_up);
    let place = SOURCES.iter().position(|each| each.bit == source);
    let limit = |times: Floors| {
        place
            .and_then(|place| times.get(place).copied())
            .unwrap_or(MINUS_INFINITY)
    };
    Limits {
        floor: limit(floors),
        last: limit(lasts),
    }
}

/// Before when the rollups are final, as the snapshot of the statement shows it: for reads and refreshes.
pub fn floors() -> Floors {
    let [_, lasts] = read();
    lasts
}

fn read() -> [Floors; 2] {
    let rows = as_role(owner(), || {
        let sql = "SELECT r.table_name, r.floor, r.final FROM analytics_internal.retention AS r";
        read_rows_kept(
            "retention",
            || sql.to_owned(),
            &[],
            |row| {
                let time = |column| {
                    row.get::<TimestampWithTimeZone>(column)
                        .map(to_microseconds)
                };
                (row.get::<String>(1), time(2), time(3))
            },
        )
    });
    let mut limits = [NOTHING_IS_OLD; 2];
    let [floors, lasts] = &mut limits;
    for (source, (floor, last)) in SOURCES.iter().zip(floors.iter_mut().zip(lasts.iter_mut())) {
        for (table, known_floor, known_last) in &rows {
            if table.as_deref() == Some(source.table) {
                *floor = known_floor.unwrap_or(MINUS_INFINITY);
                *last = known_last.unwrap_or(MINUS_INFINITY);
            }
        }
    }
    limits
}

fn look_up() -> [Floors; 2] {
    listen();
    let table = table_named(c"analytics_internal", c"retention");
    if table == pg_sys::Oid::INVALID {
        return [NOTHING_IS_OLD; 2]; // an older schema, while setup() is at work
    }
    // Writers go by the newest, whatever the snapshot of their transaction.
    // SAFETY: pushed and popped here; after an error the end of the transaction pops it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let floors = read();
    // SAFETY: as above.
    unsafe { pg_sys::PopActiveSnapshot() };
    KNOWN.with_borrow_mut(|known| {
        known.table = Some(table);
        known.floors = Some(floors);
    });
    floors
}

fn listen() {
    if !KNOWN.with_borrow_mut(|known| std::mem::replace(&mut known.listens, true)) {
        relcache::listen(at_relation_change);
    }
}

fn at_relation_change(relation: pg_sys::Oid) {
    KNOWN.with_borrow_mut(|known| {
        if relation == pg_sys::Oid::INVALID || known.table == Some(relation) {
            known.floors = None;
        }
    });
}
