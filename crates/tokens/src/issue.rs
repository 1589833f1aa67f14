//! Making a token.

use jsonwebtoken::{EncodingKey, Header, encode};

use crate::claims::Claims;
use crate::keys::{Algorithm, KeyError, MIN_SECRET_BYTES};

/// A token with these claims, signed with HS256.
///
/// # Errors
/// The secret is too weak.
pub fn issue(claims: &Claims, secret: &[u8], kid: Option<&str>) -> Result<String, KeyError> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(KeyError::WeakSecret(secret.len()));
    }
    let mut header = Header::new(Algorithm::Hs256.library());
    header.kid = kid.map(ToOwned::to_owned);
    encode(&header, claims, &EncodingKey::from_secret(secret)).map_err(|_| KeyError::Signing)
}
