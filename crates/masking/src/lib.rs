//! Personal data and secrets in free text, replaced by words such as `[email]`; knows nothing of Postgres.
//!
//! | word | stands for |
//! |---|---|
//! | `[email]` | an e-mail address, also with letters of any script and with `%40` for `@` |
//! | `[phone]` | a phone number: international, or in a common national form |
//! | `[card]` | the number of a payment card (issuer and check digit are right) |
//! | `[key]` | an API key or a private key, known by its form |
//! | `[token]` | a bearer token, JSON web token, or a long random word (hexadecimal, Base64) |
//! | `[secret]` | what follows `password=` and its like, or stands before the `@` of a URL |
//!
//! Ids, times, versions, addresses of machines and plain numbers stay. The text is masked first and cut after, so
//! that no part of a secret remains at the cut.
//!
//! It is a filter for texts that people and programs write in good faith, not a proof that nothing is left: a name
//! or a street is not recognised, and who wants to hide an address from it can.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod json;
mod numbers;
mod opaque;
mod output;
mod pattern;
mod scan;
mod secrets;

pub use json::mask_json;
pub use scan::mask;

/// Length in characters to which texts are cut unless the caller says otherwise.
pub const DEFAULT_MAX_CHARS: usize = 200;

const EMAIL: &str = "[email]";
const PHONE: &str = "[phone]";
const CARD: &str = "[card]";
const KEY: &str = "[key]";
const TOKEN: &str = "[token]";
const SECRET: &str = "[secret]";
