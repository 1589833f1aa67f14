//! Who did what to access: rows of `audit_log` where a row can stay, lines of the server's log where it cannot.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::prelude::*;
use pgrx::{JsonB, PgLogLevel, function_name};
use serde_json::{Value, json};

use crate::errors::{given, raise};
use crate::roles::{as_role, step_down_to, with_setting};
use crate::setup::{relation_owner, table_named};
use crate::sql_functions;
use crate::tokens::identity;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    #[default]
    Success,
    Refused,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
        }
    }
}

/// One entry. Tokens, secrets and what nobody has verified have no place in it.
#[derive(Default)]
pub struct Entry<'a> {
    pub action: &'a str,
    pub outcome: Outcome,
    pub workspace_id: Option<pgrx::Uuid>,
    pub target: Option<&'a str>,
    pub user_id: Option<pgrx::Uuid>,
    pub detail: Value,
}

/// Writes a row, with the rights of the owner of the table; a line of the log in a transaction that only reads, and
/// on a standby.
pub fn record(entry: &Entry) {
    // SAFETY: reads variables of this backend.
    if unsafe { pg_sys::XactReadOnly || pg_sys::RecoveryInProgress() } {
        return log(entry);
    }
    let detail = if entry.detail.is_null() {
        json!({})
    } else {
        entry.detail.clone()
    };
    let arguments = [
        entry.workspace_id.into(),
        entry.action.into(),
        entry.outcome.name().into(),
        entry.target.into(),
        caller().into(),
        session_role().into(),
        entry.user_id.or_else(identity::user_id).into(),
        JsonB(detail).into(),
    ];
    let sql = "INSERT INTO analytics.audit_log
                   (workspace_id, action, outcome, target, database_role, session_role, user_id, detail, client_address)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, pg_catalog.inet_client_addr())";
    as_role(owner(), || {
        Spi::run_with_args(sql, &arguments).unwrap_or_report();
    });
}

/// Writes a line of the server's log, whatever becomes of the transaction. The client does not see it. Postgres would add
/// the statement, with the token in it.
pub fn log(entry: &Entry) {
    let line = json!({
        "action": entry.action,
        "outcome": entry.outcome.name(),
        "workspace_id": entry.workspace_id.map(|id| id.to_string()),
        "target": entry.target,
        "database_role": caller(),
        "session_role": session_role(),
        "user_id": entry.user_id.or_else(identity::user_id).map(|id| id.to_string()),
        "detail": entry.detail,
    });
    let report = ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        format!("shadower_analytics audit: {line}"),
        function_name!(),
    );
    with_setting(c"log_min_error_statement", c"panic", || {
        report.report(PgLogLevel::LOG_SERVER_ONLY);
    });
}

/// Somebody was told that a level is missing.
pub fn log_refusal(level: &str, workspace_id: Option<pgrx::Uuid>) {
    log(&Entry {
        action: "access",
        outcome: Outcome::Refused,
        workspace_id,
        detail: json!({"level": level}),
        ..Entry::default()
    });
}

/// Name of the role that is calling.
pub fn caller() -> String {
    // SAFETY: reads a variable of this backend.
    role_name(unsafe { pg_sys::GetUserId() })
}

fn session_role() -> String {
    // SAFETY: reads a variable of this backend.
    role_name(unsafe { pg_sys::GetSessionUserId() })
}

fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: gives NULL for a role that is gone, else a copy.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            return role.to_u32().to_string();
        }
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

fn owner() -> pg_sys::Oid {
    // SAFETY: runs inside a transaction; gives an invalid id for an invalid one.
    unsafe { relation_owner(table_named(c"analytics", c"audit_log")) }
}

/// For SQL functions of ours that run as the owner of the tables.
#[pg_extern(
    schema = "analytics_internal",
    name = "record_audit",
    volatile,
    parallel_unsafe
)]
fn record_audit_text(
    action: Option<&str>,
    workspace_id: default!(Option<pgrx::Uuid>, "NULL"),
    target: default!(Option<&str>, "NULL"),
    detail: default!(Option<&str>, "NULL"),
    refused: default!(Option<bool>, "false"),
) {
    record(&Entry {
        action: given(action, "action"),
        outcome: if refused == Some(true) {
            Outcome::Refused
        } else {
            Outcome::Success
        },
        workspace_id,
        target,
        user_id: None,
        detail: detail.map_or(Value::Null, document),
    });
}

/// What is no JSON that this library can read, too deep for example, stays what it is: text.
fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

thread_local! {
    static IS_CLEANING_UP: Cell<bool> = const { Cell::new(false) };
}

/// Ends with the scope, also when that ends with an error.
struct CleaningUp;

impl CleaningUp {
    fn start() -> Self {
        IS_CLEANING_UP.set(true);
        Self
    }
}

impl Drop for CleaningUp {
    fn drop(&mut self) {
        IS_CLEANING_UP.set(false);
    }
}

#[pg_extern(sql = false)]
fn cleanup_audit_log(keep: Option<Interval>) -> i64 {
    crate::setup::require_schema();
    let Some(keep) = keep else {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "keep is NULL",
            "Say how long entries are kept, for example interval '400 days'.",
        )
    };
    let sql = "WITH gone AS (
                   DELETE FROM analytics.audit_log AS a
                   WHERE a.occurred_at < pg_catalog.now() - analytics_internal.require_keep($1) RETURNING 1
               ) SELECT pg_catalog.count(*) FROM gone";
    let removed = step_down_to(owner(), || {
        let _cleaning_up = CleaningUp::start();
        Spi::get_one_with_args::<i64>(sql, &[keep.into()]).unwrap_or_report()
    })
    .unwrap_or(0);
    record(&Entry {
        action: "cleanup_audit_log",
        detail: json!({"removed": removed}),
        ..Entry::default()
    });
    removed
}

sql_functions! {
    /// Statement trigger of `audit_log`: only `cleanup_audit_log()` removes, and nothing is changed.
    fn keep_audit_log(call) {
        // SAFETY: Postgres gives a trigger function its TriggerData; `trigger_data` checks that it did.
        let event = unsafe { (*call.trigger_data()).tg_event } & pg_sys::TRIGGER_EVENT_OPMASK;
        if event != pg_sys::TRIGGER_EVENT_DELETE || !IS_CLEANING_UP.get() {
            raise(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                "audit_log is append-only",
                "Old entries are removed by SELECT analytics.cleanup_audit_log(keep => interval '400 days').",
            )
        }
        pg_sys::Datum::null()
    }
}
