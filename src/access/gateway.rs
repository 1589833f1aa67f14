//! Claims of a trusted gateway: `PostgREST` and Supabase verify a token and leave its claims in a setting.

use std::ffi::CStr;
use std::time::{SystemTime, UNIX_EPOCH};

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::{Identity, Level};
use crate::errors::raise;
use crate::tokens::sql_uuid;

/// The claims that matter here; others are ignored. A claim that is there twice is an error.
#[derive(serde::Deserialize)]
struct Claims {
    sub: Option<String>,
    #[serde(rename = "workspaceId")]
    workspace_id: Option<uuid::Uuid>,
    workspaces: Option<Vec<uuid::Uuid>>,
    role: Option<String>,
    access_level: Option<String>,
    exp: Option<f64>,
}

/// Whom the gateway speaks for, with `ceiling` as the highest level; nobody when it has said nothing.
pub fn identity(ceiling: Level) -> Identity {
    let nobody = Identity {
        user_id: None,
        workspace_ids: Vec::new(),
        level: Level::Viewer,
    };
    let Some(text) = setting(c"request.jwt.claims") else {
        return nobody;
    };
    // The message tells where and not what: it may end in a log.
    let claims: Claims = serde_json::from_str(&text).unwrap_or_else(|problem| {
        let (line, column) = (problem.line(), problem.column());
        refuse(&format!(
            "they are not the expected JSON at line {line}, column {column}"
        ))
    });
    if claims.exp.is_some_and(|end| end <= now()) {
        refuse("they have expired");
    }
    let mut workspace_ids = claims.workspaces.unwrap_or_default();
    workspace_ids.extend(claims.workspace_id);
    workspace_ids.sort_unstable();
    workspace_ids.dedup();
    Identity {
        // Another gateway may number its users differently.
        user_id: claims
            .sub
            .and_then(|sub| uuid::Uuid::parse_str(&sub).ok())
            .map(sql_uuid),
        workspace_ids: workspace_ids.into_iter().map(sql_uuid).collect(),
        level: level(claims.access_level.as_deref(), claims.role.as_deref()).min(ceiling),
    }
}

/// For `PostgREST` and Supabase `role` is the database role, so a word there that is no level says nothing.
fn level(access_level: Option<&str>, role: Option<&str>) -> Level {
    match access_level {
        Some(word) => Level::from_name(word)
            .unwrap_or_else(|| refuse("access_level is none of viewer, member, admin, owner")),
        None => role.and_then(Level::from_name).unwrap_or(Level::Viewer),
    }
}

fn refuse(problem: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
        format!("the claims in request.jwt.claims are refused: {problem}"),
        "Ask the gateway for them again, with a fresh token.",
    )
}

/// Seconds since 1970; far in the future when the clock cannot be read, so that everything has expired.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(f64::INFINITY, |since| since.as_secs_f64())
}

/// A setting of the session; none where it is not set, or empty, as it is after the transaction that set it.
fn setting(name: &CStr) -> Option<String> {
    // SAFETY: gives NULL for a setting that does not exist, else a string that lives until settings change.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() {
            return None;
        }
        let text = CStr::from_ptr(value).to_string_lossy().into_owned();
        (!text.is_empty()).then_some(text)
    }
}
