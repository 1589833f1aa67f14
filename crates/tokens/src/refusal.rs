//! Why a token is refused.

use std::fmt;

/// In the order in which a token is examined: a later one has passed everything before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Longer than [`crate::MAX_TOKEN_BYTES`].
    TooLong,
    /// Not three parts of base64url, or a header that cannot be read or has no known algorithm (as `none`).
    Malformed,
    /// The header asks for extensions that must be understood, or for something that is no access token.
    UnsupportedHeader,
    /// No key has the token's key id.
    UnknownKey,
    /// There are keys, but none for the algorithm that the token names.
    WrongAlgorithm,
    /// The signature was not made with the key.
    WrongSignature,
    /// Signed by a trusted key, but the claims lack something or have the wrong form; what exactly.
    Claims(String),
    /// Signed by a trusted key, for another issuer than that of the key.
    WrongIssuer,
    /// Signed by a trusted key, for somebody else.
    WrongAudience,
    /// From the future.
    NotYetValid,
    /// From the past.
    Expired,
}

impl Refusal {
    /// One word for logs and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::UnsupportedHeader => "unsupported_header",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongSignature => "wrong_signature",
            Self::Claims(_) => "invalid_claims",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
        }
    }

    /// Whether the signature is that of a trusted key. Whoever has such a token may learn what is wrong with it; to
    /// others, which step refused theirs would be a help in forging.
    pub fn is_authentic(&self) -> bool {
        *self > Self::WrongSignature
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims(problem) => {
                write!(f, "its claims are not those of this product: {problem}")
            }
            Self::WrongIssuer => write!(f, "it names another issuer than the one of its key"),
            Self::WrongAudience => write!(f, "it was issued for another audience"),
            Self::NotYetValid => write!(f, "it is not valid yet"),
            Self::Expired => write!(f, "it has expired"),
            _ => write!(f, "it was not signed with a key that is trusted here"),
        }
    }
}

impl std::error::Error for Refusal {}
