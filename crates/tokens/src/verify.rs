//! Is this token what it says, and for us, and now?

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode, decode_header};
use sha2::{Digest, Sha256};

use crate::claims::Claims;
use crate::keys::Key;
use crate::refusal::Refusal;

/// A longer token is refused before it is looked at.
pub const MAX_TOKEN_BYTES: usize = 8192;
/// How far the clocks of issuer and verifier may differ.
pub const LEEWAY_SECONDS: i64 = 30;

/// Keys of one origin, and what tokens from there must say.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// Any of these may have signed.
    pub keys: Vec<Key>,
    /// `iss`, when it matters.
    pub issuer: Option<String>,
    /// `aud`. Without one, a token that is for somebody is not for us (RFC 7519).
    pub audience: Option<String>,
}

/// A token that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which of the origins it comes from.
    pub origin: usize,
    /// What it says.
    pub claims: Claims,
    /// Its `jti`; where it has none, the digest of what was signed. A signature can have several forms, what was signed
    /// cannot.
    pub token_id: String,
}

/// Examines a token at a time, in seconds since 1970.
///
/// # Errors
/// The refusal of the key with which the token got furthest.
pub fn verify(token: &str, trusted: &[Trusted], now: i64) -> Result<Verified, Refusal> {
    let header = read_header(token)?;
    let mut refusal = None;
    for (origin, source) in trusted.iter().enumerate() {
        for key in &source.keys {
            match verify_with(token, &header, key, source, now) {
                Ok(claims) => {
                    return Ok(Verified {
                        origin,
                        token_id: token_id(token, &claims),
                        claims,
                    });
                }
                Err(this) => refusal = refusal.max(Some(this)),
            }
        }
    }
    Err(refusal.unwrap_or(Refusal::UnknownKey))
}

fn read_header(token: &str) -> Result<Header, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::TooLong);
    }
    let base64url = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let parts: Vec<&str> = token.split('.').collect();
    if parts.len() != 3
        || !parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(base64url))
    {
        return Err(Refusal::Malformed);
    }
    let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
    let is_access_token = header.typ.as_ref().is_none_or(|typ| {
        typ.eq_ignore_ascii_case("JWT")
            || typ.eq_ignore_ascii_case("at+jwt")
            || typ.eq_ignore_ascii_case("application/at+jwt")
    });
    if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() || !is_access_token {
        return Err(Refusal::UnsupportedHeader);
    }
    Ok(header)
}

fn verify_with(
    token: &str,
    header: &Header,
    key: &Key,
    source: &Trusted,
    now: i64,
) -> Result<Claims, Refusal> {
    if let (Some(wanted), Some(kid)) = (&header.kid, &key.kid)
        && wanted != kid
    {
        return Err(Refusal::UnknownKey);
    }
    if header.alg != key.algorithm.library() {
        return Err(Refusal::WrongAlgorithm);
    }
    let claims = authentic_claims(token, key)?;
    check_claims(&claims, source, now)?;
    Ok(claims)
}

fn authentic_claims(token: &str, key: &Key) -> Result<Claims, Refusal> {
    // What the claims say is checked below, at a time that the caller names.
    let mut signature_only = Validation::new(key.algorithm.library());
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    decode::<Claims>(token, &key.decoding, &signature_only)
        .map(|data| data.claims)
        .map_err(|error| match error.kind() {
            // The library reads the claims only after it has verified the signature.
            ErrorKind::Json(problem) => Refusal::Claims(problem.to_string()),
            ErrorKind::Utf8(_) => Refusal::Claims("they are not UTF-8".to_owned()),
            _ => Refusal::WrongSignature,
        })
}

fn check_claims(claims: &Claims, source: &Trusted, now: i64) -> Result<(), Refusal> {
    if source.issuer.is_some() && claims.iss != source.issuer {
        return Err(Refusal::WrongIssuer);
    }
    let for_us = match (&claims.aud, &source.audience) {
        (None, None) => true,
        (Some(audience), Some(ours)) => audience.contains(ours),
        _ => false,
    };
    if !for_us {
        return Err(Refusal::WrongAudience);
    }
    let starts = claims.nbf.max(claims.iat);
    if starts.is_some_and(|starts| starts > now.saturating_add(LEEWAY_SECONDS)) {
        return Err(Refusal::NotYetValid);
    }
    if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
        return Err(Refusal::Expired);
    }
    Ok(())
}

fn token_id(token: &str, claims: &Claims) -> String {
    if let Some(jti) = claims.jti.as_ref().filter(|jti| !jti.is_empty()) {
        return jti.clone();
    }
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    let digest = Sha256::digest(signed);
    digest
        .iter()
        .fold("sha256:".to_owned(), |id, byte| id + &format!("{byte:02x}"))
}
