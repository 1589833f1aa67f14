//! Tokens that the server issues itself: a short-lived access token, and a refresh token that can be used once.

use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::prelude::*;
use pgrx::spi::SpiTupleTable;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::keys::signing;
use super::{now, owner, random_word, rust_uuid, timestamp};
use crate::audit;
use crate::errors::raise;
use crate::roles::as_role;
use crate::setup::require_schema;
use ::tokens::claims::Audience;
use ::tokens::{Claims, Level, MAX_TOKEN_BYTES, issue};

/// A login, and what its tokens may say at this moment.
struct Login {
    family: pgrx::Uuid,
    user: pgrx::Uuid,
    workspace: Option<pgrx::Uuid>,
    workspaces: Vec<pgrx::Uuid>,
    level: Level,
    email: Option<String>,
    seconds: i64,
    ends: TimestampWithTimeZone,
}

struct Pair {
    access: String,
    refresh: String,
    expires_at: TimestampWithTimeZone,
    ends: TimestampWithTimeZone,
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn issue_token(
    user_id: Option<pgrx::Uuid>,
    workspace_id: Option<pgrx::Uuid>,
    access_level: Option<&str>,
    email: Option<&str>,
    valid_for: Option<Interval>,
    refresh_for: Option<Interval>,
) -> TableIterator<
    'static,
    (
        name!(access_token, String),
        name!(refresh_token, String),
        name!(expires_at, TimestampWithTimeZone),
        name!(refresh_expires_at, TimestampWithTimeZone),
    ),
> {
    require_schema();
    let caller = audit::caller();
    let pair = as_role(owner(), || {
        let sql = "SELECT * FROM analytics_internal.start_login($1, $2, $3, $4, $5, $6, $7)";
        let arguments = [
            user_id.into(),
            workspace_id.into(),
            access_level.into(),
            email.into(),
            valid_for.into(),
            refresh_for.into(),
            caller.into(),
        ];
        let login = Spi::connect_mut(|client| {
            login(client.update(sql, Some(1), &arguments).unwrap_or_report())
        });
        pair(login.unwrap_or_else(|| unexpected()))
    });
    audit::record(&audit::Entry {
        action: "issue_token",
        workspace_id,
        user_id,
        detail: json!({"level": access_level}),
        ..audit::Entry::default()
    });
    TableIterator::once((pair.access, pair.refresh, pair.expires_at, pair.ends))
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn refresh_token(
    refresh_token: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(status, String),
        name!(access_token, Option<String>),
        name!(refresh_token, Option<String>),
        name!(expires_at, Option<TimestampWithTimeZone>),
        name!(refresh_expires_at, Option<TimestampWithTimeZone>),
    ),
> {
    require_schema();
    let digest = digest(refresh_token.unwrap_or_default());
    let (status, user, pair) = as_role(owner(), || {
        let sql = "SELECT * FROM analytics_internal.continue_login($1)";
        Spi::connect_mut(|client| {
            let table = client
                .update(sql, Some(1), &[digest.into()])
                .unwrap_or_report()
                .first();
            let status = table.get_by_name::<String, _>("status").unwrap_or_report();
            let user = table
                .get_by_name::<pgrx::Uuid, _>("user_id")
                .unwrap_or_report();
            let login = (status.as_deref() == Some("refreshed"))
                .then(|| login(table).map(pair))
                .flatten();
            (status.unwrap_or_default(), user, login)
        })
    });
    let refused = status != "refreshed";
    if refused || pair.is_some() {
        audit::record(&audit::Entry {
            action: "refresh_token",
            outcome: if refused {
                audit::Outcome::Refused
            } else {
                audit::Outcome::Success
            },
            user_id: user,
            detail: if refused {
                json!({"reason": status})
            } else {
                json!({})
            },
            ..audit::Entry::default()
        });
    }
    TableIterator::once(match pair {
        Some(pair) => (
            status,
            Some(pair.access),
            Some(pair.refresh),
            Some(pair.expires_at),
            Some(pair.ends),
        ),
        None => (status, None, None, None, None),
    })
}

fn login(row: SpiTupleTable) -> Option<Login> {
    let row = if row.is_empty() {
        return None;
    } else {
        row.first()
    };
    let level: Option<String> = row.get_by_name("access_level").unwrap_or_report();
    Some(Login {
        family: row.get_by_name("family_id").unwrap_or_report()?,
        user: row.get_by_name("user_id").unwrap_or_report()?,
        workspace: row.get_by_name("workspace_id").unwrap_or_report(),
        workspaces: row.get_by_name("workspace_ids").unwrap_or_report()?,
        level: Level::from_name(&level?)?,
        email: row.get_by_name("email").unwrap_or_report(),
        seconds: row.get_by_name("valid_seconds").unwrap_or_report()?,
        ends: row.get_by_name("expires_at").unwrap_or_report()?,
    })
}

/// Signs an access token and stores a refresh token. Runs as the owner of the tables.
fn pair(login: Login) -> Pair {
    let Some(key) = signing() else {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "no key signs tokens",
            "Make one: SELECT analytics.set_token_key('here', issues => true, issuer => 'shadower_analytics').",
        )
    };
    let issued_at = now();
    let expires_at = issued_at.saturating_add(login.seconds);
    let claims = Claims {
        sub: rust_uuid(login.user),
        email: login.email,
        workspace_id: login.workspace.map(rust_uuid),
        workspaces: login.workspaces.iter().copied().map(rust_uuid).collect(),
        role: login.level,
        permissions: Some(super::authenticate::permissions_of(login.level.name())),
        iat: Some(issued_at),
        nbf: None,
        exp: expires_at,
        jti: Some(random_word()),
        sid: Some(rust_uuid(login.family).to_string()),
        iss: key.issuer,
        aud: key.audience.map(Audience::One),
    };
    let access = issue(&claims, key.secret.as_bytes(), key.key_id.as_deref())
        .unwrap_or_else(|_| unexpected());
    if access.len() > MAX_TOKEN_BYTES {
        raise(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!(
                "a token for {} workspaces would have {} bytes, more than {MAX_TOKEN_BYTES}",
                login.workspaces.len(),
                access.len()
            ),
            "Give a workspace_id: one token for each workspace.",
        )
    }
    let refresh = random_word();
    let sql =
        "INSERT INTO analytics_internal.refresh_tokens (token_digest, family_id) VALUES ($1, $2)";
    Spi::run_with_args(sql, &[digest(&refresh).into(), login.family.into()]).unwrap_or_report();
    Pair {
        access,
        refresh,
        expires_at: timestamp(expires_at),
        ends: login.ends,
    }
}

fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// What a key or a login that was just checked cannot lead to.
fn unexpected() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the key that signs tokens cannot be used",
        "Set it again with analytics.set_token_key().",
    )
}
