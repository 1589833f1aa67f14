//! Token keys: from their stored rows to keys that verify.

use pgrx::prelude::*;

use super::{owner, raise_unlogged, random_word};
use crate::errors::given;
use crate::query::read_rows;
use crate::roles::as_role;
use ::tokens::{Algorithm, Key, KeyError, Trusted};

/// What the verification of a token needs to know about the key that verified it.
pub struct Origin {
    pub name: String,
    pub issues: bool,
    pub members_only: bool,
}

/// Every key, with where it comes from at the same place of the second list.
pub fn trusted() -> (Vec<Trusted>, Vec<Origin>) {
    let sql = "SELECT k.name, k.algorithm, k.key_id, k.secret, k.public_key, k.jwks::text, k.issuer, k.audience,
                      k.issues, k.members_only
               FROM analytics_internal.token_keys AS k ORDER BY k.name";
    let rows = as_role(owner(), || {
        read_rows(sql, &[], |row| {
            let text = |column| row.get::<String>(column);
            let keys = usable(text(2)?.as_str(), text(3), text(4), text(5), text(6)).ok()?;
            Some((
                Trusted {
                    keys,
                    issuer: text(7),
                    audience: text(8),
                },
                Origin {
                    name: text(1)?,
                    issues: row.get(9)?,
                    members_only: row.get(10)?,
                },
            ))
        })
    });
    rows.into_iter().flatten().unzip()
}

fn usable(
    algorithm: &str,
    key_id: Option<String>,
    secret: Option<String>,
    public_key: Option<String>,
    jwks: Option<String>,
) -> Result<Vec<Key>, KeyError> {
    match (algorithm, secret, public_key, jwks) {
        ("HS256", Some(secret), None, None) => {
            Ok(vec![Key::from_secret(secret.as_bytes(), key_id)?])
        }
        ("JWKS", None, None, Some(document)) => Key::from_jwks(&document),
        (name, None, Some(pem), None) => {
            let algorithm = Algorithm::from_name(name).ok_or(KeyError::NotPublicKey)?;
            Ok(vec![Key::from_pem(algorithm, &pem, key_id)?])
        }
        _ => Err(KeyError::NotPublicKey),
    }
}

/// Refuses a key that could not verify, or that others could guess.
#[pg_extern(schema = "analytics_internal", immutable, parallel_safe)]
fn check_token_key(
    algorithm: Option<&str>,
    secret: Option<&str>,
    public_key: Option<&str>,
    jwks: Option<&str>,
) {
    let algorithm = given(algorithm, "algorithm");
    let own = |text: Option<&str>| text.map(ToOwned::to_owned);
    let Err(problem) = usable(algorithm, None, own(secret), own(public_key), own(jwks)) else {
        return;
    };
    let (argument, hint) = match problem {
        KeyError::WeakSecret(_) => (
            "secret",
            "Use 32 random bytes or more; leave it out to have a secret made.",
        ),
        KeyError::PrivateKey | KeyError::SecretInKeySet => (
            "the key",
            "Give public keys only. What was just sent should no longer be used.",
        ),
        KeyError::RsaBits(_) => ("public_key", "Make a key of 2048 to 4096 bits."),
        KeyError::NotKeySet | KeyError::EmptyKeySet | KeyError::TooManyKeys(_) => (
            "jwks",
            "Give the JSON document that the issuer publishes at its jwks_uri.",
        ),
        _ => (
            "the key",
            "HS256 has a secret; RS256 and ES256 have a public_key that starts with BEGIN PUBLIC KEY; JWKS has jwks.",
        ),
    };
    raise_unlogged(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{argument} is not allowed: {problem}"),
        hint,
    )
}

/// A secret of 256 bits.
#[pg_extern(schema = "analytics_internal", volatile, parallel_safe)]
fn new_secret() -> String {
    random_word()
}

/// The key that signs: its secret, key id, issuer and audience.
pub struct Signing {
    pub secret: String,
    pub key_id: Option<String>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
}

/// Runs as the owner.
pub fn signing() -> Option<Signing> {
    let sql =
        "SELECT k.secret, k.key_id, k.issuer, k.audience FROM analytics_internal.token_keys AS k
               WHERE k.issues ORDER BY k.created_at DESC, k.name LIMIT 1";
    let found = read_rows(sql, &[], |row| {
        Some(Signing {
            secret: row.get(1)?,
            key_id: row.get(2),
            issuer: row.get(3),
            audience: row.get(4),
        })
    });
    found.into_iter().flatten().next()
}
