//! From a token to the identity of the session, and back with `logout()`.

use pgrx::prelude::*;
use serde_json::json;

use super::identity::{self, Identity, Scope, TokenName};
use super::keys::{Origin, trusted};
use super::{now, owner, raise_unlogged, sql_uuid, timestamp};
use crate::access::common_level;
use crate::audit;
use crate::query::{read_one, read_rows};
use crate::roles::as_role;
use crate::setup::require_schema;
use ::tokens::{Claims, Level, Refusal, Verified, verify};

/// Why nobody is authenticated.
enum Denied {
    Token(Refusal),
    Revoked,
    NoWorkspace,
    NoPermission,
}

impl Denied {
    fn code(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.code(),
            Self::Revoked => "revoked",
            Self::NoWorkspace => "no_workspace",
            Self::NoPermission => "no_permission",
        }
    }

    /// What the bearer may know: everything about an authentic token, nothing about another.
    fn code_for_bearer(&self) -> &'static str {
        match self {
            Self::Token(refusal) if !refusal.is_authentic() => "not_trusted",
            _ => self.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Token(refusal) => refusal.to_string(),
            Self::Revoked => "it was revoked".to_owned(),
            Self::NoWorkspace => "it opens no workspace".to_owned(),
            Self::NoPermission => "its permissions are less than those of a viewer".to_owned(),
        }
    }

    fn raise(&self) -> ! {
        let hint = match self {
            Self::Token(refusal) if !refusal.is_authentic() => {
                "The server's log says why: look for \"shadower_analytics audit\". Keys are listed by analytics.token_keys()."
            }
            Self::Token(Refusal::Expired) => "Get a fresh one with analytics.refresh_token().",
            Self::Token(Refusal::NotYetValid) => "Compare the clocks of the two servers.",
            Self::Token(_) => {
                "Compare the claims with docs/tokens.md and the key with analytics.token_keys()."
            }
            Self::Revoked => "Log in again.",
            Self::NoWorkspace => {
                "Its claims must name workspaces, and the user must be a member of them where the key asks for it."
            }
            Self::NoPermission => {
                "Leave the claim permissions out, or name all permissions of a level."
            }
        };
        raise_unlogged(
            PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
            format!("the token is refused: {}", self.message()),
            hint,
        )
    }
}

type Authenticated = (pgrx::Uuid, Vec<pgrx::Uuid>, String, TimestampWithTimeZone);

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn authenticate(
    token: Option<&str>,
    scope: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(user_id, pgrx::Uuid),
        name!(workspace_ids, Vec<pgrx::Uuid>),
        name!(access_level, String),
        name!(expires_at, TimestampWithTimeZone),
    ),
> {
    match enter(token, scope) {
        Ok(row) => TableIterator::once(row),
        Err(denied) => {
            // A row would be rolled back with the error.
            audit::log(&refused(&denied));
            denied.raise()
        }
    }
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // the shape is the SQL signature
fn try_authenticate(
    token: Option<&str>,
    scope: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(status, String),
        name!(user_id, Option<pgrx::Uuid>),
        name!(workspace_ids, Option<Vec<pgrx::Uuid>>),
        name!(access_level, Option<String>),
        name!(expires_at, Option<TimestampWithTimeZone>),
    ),
> {
    TableIterator::once(match enter(token, scope) {
        Ok((user, workspaces, level, end)) => (
            "accepted".to_owned(),
            Some(user),
            Some(workspaces),
            Some(level),
            Some(end),
        ),
        Err(denied) => {
            audit::record(&refused(&denied));
            (denied.code_for_bearer().to_owned(), None, None, None, None)
        }
    })
}

fn refused(denied: &Denied) -> audit::Entry<'static> {
    audit::Entry {
        action: "authenticate",
        outcome: audit::Outcome::Refused,
        detail: json!({"reason": denied.code()}),
        ..audit::Entry::default()
    }
}

fn enter(token: Option<&str>, scope: Option<&str>) -> Result<Authenticated, Denied> {
    // Whoever was there before does not survive a refusal: the next statement would speak for the wrong person.
    let before = identity::suspend();
    require_schema();
    let scope = parse_scope(scope);
    let token = require_token(token);
    let (verified, origin) = examine(token).map_err(Denied::Token)?;
    let identity = as_role(owner(), || identity_of(&verified, &origin))?;
    record_once(&identity, &origin, scope);
    let row = (
        identity.user_id,
        identity.workspace_ids.clone(),
        identity.level.name().to_owned(),
        timestamp(identity.expires_at),
    );
    identity::resume(before);
    identity::assume(identity, scope);
    Ok(row)
}

fn parse_scope(scope: Option<&str>) -> Scope {
    match scope {
        Some("transaction") => Scope::Transaction,
        Some("session") => Scope::Session,
        other => raise_unlogged(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!(
                "scope {} is not allowed: it is not how long an identity lasts",
                other.map_or_else(|| "NULL".to_owned(), |scope| format!("\"{scope}\""))
            ),
            "Use transaction or session.",
        ),
    }
}

fn require_token(token: Option<&str>) -> &str {
    token.unwrap_or_else(|| {
        raise_unlogged(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "token is NULL",
            "Give a JSON Web Token.",
        )
    })
}

fn examine(token: &str) -> Result<(Verified, Origin), Refusal> {
    let (keys, mut origins) = trusted();
    let verified = verify(token, &keys, now())?;
    if verified.origin >= origins.len() {
        return Err(Refusal::UnknownKey);
    }
    let origin = origins.swap_remove(verified.origin);
    Ok((verified, origin))
}

fn token_name(verified: &Verified, origin: &Origin) -> TokenName {
    let sid = verified.claims.sid.as_deref().filter(|_| origin.issues);
    TokenName {
        issuer: verified.claims.iss.clone().unwrap_or_default(),
        token_id: verified.token_id.clone(),
        family: sid
            .and_then(|sid| uuid::Uuid::parse_str(sid).ok())
            .map(sql_uuid),
    }
}

/// Runs as the owner of the tables.
fn identity_of(verified: &Verified, origin: &Origin) -> Result<Identity, Denied> {
    let claims = &verified.claims;
    let token = token_name(verified, origin);
    if is_revoked(&token) {
        return Err(Denied::Revoked);
    }
    let (level, permissions) = permitted(claims).ok_or(Denied::NoPermission)?;
    let mut workspace_ids: Vec<_> = claims.all_workspaces().into_iter().map(sql_uuid).collect();
    if origin.members_only {
        workspace_ids = still_member(sql_uuid(claims.sub), workspace_ids, level);
    }
    if workspace_ids.is_empty() {
        return Err(Denied::NoWorkspace);
    }
    Ok(Identity {
        user_id: sql_uuid(claims.sub),
        workspace_ids,
        level,
        permissions,
        token,
        expires_at: claims.exp,
    })
}

fn is_revoked(token: &TokenName) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM analytics_internal.revoked_tokens AS r
                              WHERE r.issuer = $1 AND r.token_id = $2)
                   OR EXISTS (SELECT FROM analytics_internal.token_families AS f
                              WHERE f.family_id = $3 AND f.revoked_at IS NOT NULL)";
    read_one::<bool>(
        sql,
        &[
            token.issuer.clone().into(),
            token.token_id.clone().into(),
            token.family.into(),
        ],
    ) != Some(false)
}

/// The level of the token and its permissions: all of the level, or what the claim leaves of them. Row security knows
/// levels only, so a token that lacks a permission has the highest level of which it has all.
fn permitted(claims: &Claims) -> Option<(Level, Vec<String>)> {
    let granted = permissions_of(claims.role.name());
    let Some(wanted) = &claims.permissions else {
        return Some((claims.role, granted));
    };
    let left: Vec<String> = granted.into_iter().filter(|p| wanted.contains(p)).collect();
    [Level::Owner, Level::Admin, Level::Member, Level::Viewer]
        .into_iter()
        .filter(|level| *level <= claims.role)
        .find(|level| {
            permissions_of(level.name())
                .iter()
                .all(|p| left.contains(p))
        })
        .map(|level| (level, left))
}

pub fn permissions_of(level: &str) -> Vec<String> {
    read_one("SELECT analytics.level_permissions($1)", &[level.into()]).unwrap_or_default()
}

fn still_member(user: pgrx::Uuid, claimed: Vec<pgrx::Uuid>, level: Level) -> Vec<pgrx::Uuid> {
    let sql = "SELECT m.workspace_id FROM analytics.workspace_members AS m
               WHERE m.user_id = $1 AND m.workspace_id = ANY ($2)
                 AND analytics_internal.level_rank(m.access_level) >= analytics_internal.level_rank($3)
               ORDER BY 1";
    let arguments = [user.into(), claimed.into(), level.name().into()];
    read_rows(sql, &arguments, |row| row.get(1))
        .into_iter()
        .flatten()
        .collect()
}

/// A pooled connection authenticates before each transaction: its log has one entry for each token and connection, and
/// reading stays reading after the first time.
fn record_once(identity: &Identity, origin: &Origin, scope: Scope) {
    if !identity::is_first_use(&identity.token) {
        return;
    }
    let scope = match scope {
        Scope::Transaction => "transaction",
        Scope::Session => "session",
    };
    for workspace in &identity.workspace_ids {
        audit::record(&audit::Entry {
            action: "authenticate",
            workspace_id: Some(*workspace),
            target: Some(origin.name.as_str()),
            user_id: Some(identity.user_id),
            detail: json!({"level": identity.level.name(), "scope": scope, "token_id": identity.token.token_id}),
            ..audit::Entry::default()
        });
    }
}

#[pg_extern(sql = false)]
fn logout(token: Option<&str>) -> bool {
    require_schema();
    let Some((name, user, end)) = token.map_or_else(|| Some(own_token()), foreign_token) else {
        return false;
    };
    let revoked = as_role(owner(), || revoke(&name, end));
    audit::record(&audit::Entry {
        action: "logout",
        user_id: Some(user),
        detail: json!({"token_id": name.token_id}),
        ..audit::Entry::default()
    });
    if token.is_none() || identity::is_of(&name) {
        identity::forget();
    }
    revoked
}

/// A token by its name, its user, and its end.
type Ending = (TokenName, pgrx::Uuid, i64);

fn own_token() -> Ending {
    let Some(current) = identity::identity() else {
        raise_unlogged(
            PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
            "nobody is authenticated",
            "Give the token that is to be revoked.",
        )
    };
    (current.token, current.user_id, current.expires_at)
}

/// None when the token has expired: it is of no more use to anybody.
fn foreign_token(token: &str) -> Option<Ending> {
    match examine(token) {
        Ok((verified, origin)) => Some((
            token_name(&verified, &origin),
            sql_uuid(verified.claims.sub),
            verified.claims.exp,
        )),
        Err(Refusal::Expired) => None,
        Err(refusal) => {
            let denied = Denied::Token(refusal);
            audit::log(&audit::Entry {
                action: "logout",
                ..refused(&denied)
            });
            denied.raise()
        }
    }
}

/// Runs as the owner of the tables; false when it was revoked before.
fn revoke(token: &TokenName, end: i64) -> bool {
    let sql = "SELECT analytics_internal.revoke_token($1, $2, $3, $4)";
    let arguments = [
        token.issuer.clone().into(),
        token.token_id.clone().into(),
        token.family.into(),
        timestamp(end).into(),
    ];
    Spi::get_one_with_args::<bool>(sql, &arguments) == Ok(Some(true))
}

#[pg_extern(sql = false)]
fn current_permissions() -> Vec<String> {
    require_schema();
    if let Some(identity) = identity::identity() {
        return identity.permissions;
    }
    common_level().map_or_else(Vec::new, |level| permissions_of(level.name()))
}
