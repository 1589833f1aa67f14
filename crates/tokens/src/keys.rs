//! Verification keys. A key is made for one algorithm and never verifies a token that names another: a public RSA key
//! cannot be taken for an HMAC secret.

use std::fmt;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm as Alg, DecodingKey, DecodingKeyKind};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::DecodePublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPublicKey};

/// Fewer bytes than this in a shared secret can be guessed (RFC 7518: as many as the hash has).
pub const MIN_SECRET_BYTES: usize = 32;
/// RFC 7518 asks for 2048; the library verifies up to 4096.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// A set of keys is a handful; each key costs time for each token without a key id.
const MAX_KEYS: usize = 100;

/// The algorithms that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256 and a shared secret.
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// The name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Rs256, Self::Es256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    pub(crate) fn library(self) -> Alg {
        match self {
            Self::Hs256 => Alg::HS256,
            Self::Rs256 => Alg::RS256,
            Self::Es256 => Alg::ES256,
        }
    }
}

/// Why something is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret of fewer than [`MIN_SECRET_BYTES`].
    WeakSecret(usize),
    /// An RSA key with fewer than 2048 bits, or more than 4096.
    RsaBits(usize),
    /// A PEM text with a private key in it.
    PrivateKey,
    /// Not a PEM text with a public key for the algorithm.
    NotPublicKey,
    /// Not a JWKS document.
    NotKeySet,
    /// A JWKS document with a shared secret or a private key in it.
    SecretInKeySet,
    /// A JWKS document without a key for RS256 or ES256.
    EmptyKeySet,
    /// A JWKS document with too many keys.
    TooManyKeys(usize),
    /// The token could not be signed.
    Signing,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeakSecret(bytes) => {
                write!(
                    f,
                    "a secret of {bytes} bytes is too weak, it needs {MIN_SECRET_BYTES}"
                )
            }
            Self::RsaBits(bits) => write!(
                f,
                "an RSA key of {bits} bits is not accepted, it has {} to {}",
                RSA_BITS.start(),
                RSA_BITS.end()
            ),
            Self::PrivateKey => write!(f, "it is a private key"),
            Self::NotPublicKey => write!(
                f,
                "it is not a PEM text with a public key of that algorithm"
            ),
            Self::NotKeySet => write!(f, "it is not a JWKS document"),
            Self::SecretInKeySet => write!(f, "the JWKS document holds a secret or private key"),
            Self::EmptyKeySet => write!(f, "the JWKS document holds no key for RS256 or ES256"),
            Self::TooManyKeys(keys) => write!(f, "{keys} keys are more than {MAX_KEYS}"),
            Self::Signing => write!(f, "the token could not be signed"),
        }
    }
}

impl std::error::Error for KeyError {}

/// A key that verifies tokens of one algorithm.
#[derive(Clone)]
pub struct Key {
    pub(crate) kid: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

/// Without the key itself.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A shared secret for HS256.
    ///
    /// # Errors
    /// [`KeyError::WeakSecret`].
    pub fn from_secret(secret: &[u8], kid: Option<String>) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyError::WeakSecret(secret.len()));
        }
        Ok(Self {
            kid,
            algorithm: Algorithm::Hs256,
            decoding: DecodingKey::from_secret(secret),
        })
    }

    /// A public key for RS256 or ES256: PEM with `BEGIN PUBLIC KEY`, or `BEGIN RSA PUBLIC KEY`.
    ///
    /// # Errors
    /// Not such a key, or one that is too weak.
    pub fn from_pem(
        algorithm: Algorithm,
        pem: &str,
        kid: Option<String>,
    ) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY") {
            return Err(KeyError::PrivateKey);
        }
        let pem = pem.trim();
        let decoding = match algorithm {
            Algorithm::Hs256 => return Err(KeyError::NotPublicKey),
            Algorithm::Rs256 => rsa_key(
                &RsaPublicKey::from_public_key_pem(pem)
                    .or_else(|_| RsaPublicKey::from_pkcs1_pem(pem))
                    .map_err(|_| KeyError::NotPublicKey)?,
            )?,
            Algorithm::Es256 => ec_key(
                &p256::PublicKey::from_public_key_pem(pem).map_err(|_| KeyError::NotPublicKey)?,
            ),
        };
        Ok(Self {
            kid,
            algorithm,
            decoding,
        })
    }

    /// The keys of a JWKS document that are for RS256 or ES256; keys of other kinds are left out.
    ///
    /// # Errors
    /// Not such a document, none or too many keys, a key that is too weak or that nobody but its owner should have.
    pub fn from_jwks(document: &str) -> Result<Vec<Self>, KeyError> {
        let raw: serde_json::Value =
            serde_json::from_str(document).map_err(|_| KeyError::NotKeySet)?;
        let members = raw["keys"].as_array().ok_or(KeyError::NotKeySet)?;
        if members.len() > MAX_KEYS {
            return Err(KeyError::TooManyKeys(members.len()));
        }
        if members
            .iter()
            .any(|key| !key["d"].is_null() || !key["k"].is_null())
        {
            return Err(KeyError::SecretInKeySet);
        }
        let set: JwkSet = serde_json::from_value(raw).map_err(|_| KeyError::NotKeySet)?;
        let keys = set
            .keys
            .iter()
            .filter_map(|jwk| from_jwk(jwk).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::EmptyKeySet);
        }
        Ok(keys)
    }
}

fn from_jwk(jwk: &Jwk) -> Result<Option<Key>, KeyError> {
    if matches!(jwk.common.public_key_use, Some(ref used) if *used != PublicKeyUse::Signature) {
        return Ok(None);
    }
    let algorithm = match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::Rs256,
        (AlgorithmParameters::EllipticCurve(key), None | Some(KeyAlgorithm::ES256))
            if key.curve == EllipticCurve::P256 =>
        {
            Algorithm::Es256
        }
        _ => return Ok(None),
    };
    let decoding = DecodingKey::from_jwk(jwk).map_err(|_| KeyError::NotKeySet)?;
    let decoding = match decoding.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => rsa_key(&rsa_from_parts(
            BigUint::from_bytes_be(n),
            BigUint::from_bytes_be(e),
        )?)?,
        DecodingKeyKind::SecretOrDer(point) => {
            ec_key(&p256::PublicKey::from_sec1_bytes(point).map_err(|_| KeyError::NotKeySet)?)
        }
    };
    Ok(Some(Key {
        kid: jwk.common.key_id.clone(),
        algorithm,
        decoding,
    }))
}

fn rsa_from_parts(n: BigUint, e: BigUint) -> Result<RsaPublicKey, KeyError> {
    let bits = n.bits();
    RsaPublicKey::new(n, e).map_err(|_| {
        if RSA_BITS.contains(&bits) {
            KeyError::NotKeySet
        } else {
            KeyError::RsaBits(bits)
        }
    })
}

fn rsa_key(key: &RsaPublicKey) -> Result<DecodingKey, KeyError> {
    let bits = key.n().bits();
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaBits(bits));
    }
    Ok(DecodingKey::from_rsa_raw_components(
        &key.n().to_bytes_be(),
        &key.e().to_bytes_be(),
    ))
}

fn ec_key(key: &p256::PublicKey) -> DecodingKey {
    DecodingKey::from_ec_der(key.to_encoded_point(false).as_bytes())
}
