//! JSON Web Tokens of the product; knows nothing of Postgres.
//!
//! | module | what |
//! |---|---|
//! | [`claims`] | what a token says about its bearer |
//! | [`keys`] | verification keys, each of which knows its one algorithm |
//! | [`verify`](fn@verify) | signature, times, issuer and audience of a token |
//! | [`issue`](fn@issue) | a token signed with a shared secret |
//!
//! The signatures are the business of `jsonwebtoken`. What is decided here is which key may verify which token, and
//! which tokens are refused whatever their signature is.

#![forbid(unsafe_code)]

pub mod claims;
mod issue;
pub mod keys;
mod refusal;
mod verify;

pub use claims::{Claims, Level};
pub use issue::issue;
pub use keys::{Algorithm, Key, KeyError};
pub use refusal::Refusal;
pub use verify::{LEEWAY_SECONDS, MAX_TOKEN_BYTES, Trusted, Verified, verify};
