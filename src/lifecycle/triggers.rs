//! Triggers of `analytics.agents`: the state of an agent is that of its last event.

use std::cell::Cell;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::rules::{lock_rules, states_of};
use super::{Actor, owner};
use crate::errors::{raise, raise_check_violation};
use crate::query::change_rows_kept;
use crate::roles::as_role;
use crate::sql_functions;

thread_local! {
    static MOVING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, `transition_agent` is changing the state of an agent.
pub struct Moving;

impl Moving {
    pub fn begin() -> Self {
        MOVING.set(true);
        Self
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        MOVING.set(false);
    }
}

/// A row that a trigger is told about.
#[derive(Clone, Copy)]
struct Row {
    tuple: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
}

impl Row {
    fn get<T: FromDatum>(self, column: &std::ffi::CStr) -> Option<T> {
        // SAFETY: the tuple and its description come from Postgres and are valid during the trigger; a column that is
        // not there gives a number that is refused here.
        unsafe {
            let number = pg_sys::SPI_fnumber(self.description, column.as_ptr());
            if number <= 0 {
                return None;
            }
            let mut is_null = false;
            let datum =
                pg_sys::SPI_getbinval(self.tuple, self.description, number, &raw mut is_null);
            T::from_datum(datum, is_null)
        }
    }
}

#[allow(clippy::struct_field_names)] // as the columns are called
struct Agent {
    workspace_id: pgrx::Uuid,
    agent_id: pgrx::Uuid,
    state: String,
    discovered: bool,
    created_at: Option<TimestampWithTimeZone>,
}

impl Agent {
    fn of(row: Row) -> Option<Self> {
        Some(Self {
            workspace_id: row.get(c"workspace_id")?,
            agent_id: row.get(c"agent_id")?,
            state: row.get(c"lifecycle_state")?,
            discovered: row.get(c"discovered")?,
            created_at: row.get(c"created_at"),
        })
    }

    fn require_known_state(&self) {
        // Every set of rules has it, and rows that discover an agent must not wait for anybody.
        if self.state == lifecycle::rules::INITIAL {
            return;
        }
        lock_rules(self.workspace_id, false);
        let known = states_of(self.workspace_id);
        if !known.contains(&self.state) {
            raise_check_violation(
                "lifecycle_state",
                &self.state,
                "it is not a state of the lifecycle",
                &format!("Use one of {}.", known.join(", ")),
            )
        }
    }

    /// Writes an event that is no transition: somebody says where the agent stands.
    fn record(&self, actor: &Actor, sequence: i64, from: Option<&str>, reason: Option<&str>) {
        let sql = "INSERT INTO analytics.agent_lifecycle_events \
                       (workspace_id, agent_id, sequence, event_type, from_state, to_state, occurred_at, \
                        actor_role, actor_user_id, reason) \
                   VALUES ($1, $2, $3, 'registered', $4, $5, \
                           CASE WHEN $6 < pg_catalog.clock_timestamp() AND pg_catalog.isfinite($6) THEN $6 \
                                ELSE pg_catalog.clock_timestamp() END, $7, $8, $9)";
        let arguments = [
            self.workspace_id.into(),
            self.agent_id.into(),
            sequence.into(),
            from.into(),
            self.state.as_str().into(),
            if sequence == 1 { self.created_at } else { None }.into(),
            actor.role.as_str().into(),
            actor.user_id.into(),
            reason.into(),
        ];
        change_rows_kept(sql, &arguments, |_| ());
    }
}

sql_functions! {
    /// Row trigger of agents, AFTER INSERT: the state exists, and the history begins.
    fn register_lifecycle(call) {
        // SAFETY: `trigger_data` checks that Postgres calls this as a trigger.
        let row = unsafe {
            let data = call.trigger_data();
            Row { tuple: (*data).tg_trigtuple, description: (*(*data).tg_relation).rd_att }
        };
        if let Some(agent) = Agent::of(row) {
            let actor = Actor::current();
            as_role(owner(), || {
                agent.require_known_state();
                agent.record(&actor, 1, None, None);
            });
        }
        pg_sys::Datum::null()
    }

    /// Row trigger of agents, AFTER UPDATE of the state: `transition_agent` alone changes it. An agent that nobody has
    /// registered may be told once where it stands.
    fn keep_lifecycle(call) {
        // SAFETY: as above.
        let (old, new) = unsafe {
            let data = call.trigger_data();
            let description = (*(*data).tg_relation).rd_att;
            (
                Row { tuple: (*data).tg_trigtuple, description },
                Row { tuple: (*data).tg_newtuple, description },
            )
        };
        let (Some(old), Some(new)) = (Agent::of(old), Agent::of(new)) else {
            return pg_sys::Datum::null();
        };
        if MOVING.get() || old.state == new.state {
            return pg_sys::Datum::null();
        }
        let actor = Actor::current();
        as_role(owner(), || {
            new.require_known_state();
            let sql = "SELECT count(*) FROM analytics.agent_lifecycle_events AS e \
                       WHERE e.workspace_id = $1 AND e.agent_id = $2";
            let arguments = [new.workspace_id.into(), new.agent_id.into()];
            let events: i64 = change_rows_kept(sql, &arguments, |row| row.get(1)).pop().flatten().unwrap_or(0);
            if !old.discovered || events > 1 {
                raise(
                    PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    format!("lifecycle_state \"{}\" cannot be set by UPDATE", new.state),
                    format!(
                        "SELECT * FROM analytics.transition_agent('{}', '{}', '{}');",
                        new.workspace_id, new.agent_id, new.state.replace('\'', "''")
                    ),
                )
            }
            new.record(&actor, events + 1, Some(&old.state), Some("stated for an agent that its first run registered"));
        });
        pg_sys::Datum::null()
    }
}
