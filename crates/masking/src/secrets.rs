//! Keys and tokens that are known by their form, and what stands behind words such as `password`.

use std::sync::LazyLock;

use crate::pattern::{FAR, Pattern, near, run_end};
use crate::{KEY, SECRET, TOKEN};

/// What was found: it starts there, ends there, and is replaced by this.
pub type Found = (usize, usize, &'static str);

/// Keys with a prefix of their own, anywhere in a word.
static KEYS: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"^(?-u:[A-Za-z0-9]*?(?:sk-(?:ant|proj|svcacct|or-v1)-[\w-]{8,}|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|[prs]k_(?:live|test)_\w{8,}|whsec_\w{16,}|AIza[\w-]{30,}|gsk_\w{20,}|SG\.[\w-]{16,}\.[\w-]{16,}|dop_v1_\w{20,}|shp(?:at|ca|pa|ss)_\w{16,}|lin_api_\w{16,}|pplx-\w{20,}))",
    )
});
static TOKENS: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"^(?-u:[A-Za-z0-9]*?(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{8,}|xapp-\d-[\w-]{8,}|hf_\w{20,}|npm_\w{20,}|pypi-AgE[\w-]{12,}|ya29\.[\w-]{16,}))",
    )
});
/// These are words of their own only: "ask-", "keyJ".
static PLAIN_KEY: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"^(?-u:sk-[\w-]{12,})"));
static JSON_WEB_TOKEN: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^(?-u:eyJ[\w-]{8,}(?:\.[\w-]*){0,4})"));
static PRIVATE_KEY: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^(?-u:BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----)"));
static SCHEME: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^(?-u:(?i:bearer|basic)\s{1,4})"));

/// Names whose value is secret whatever it is, and names whose value is when it looks like it.
static ALWAYS_SECRET: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"^(?i-u:[a-z0-9_.-]*(?:passw(?:or)?d|passwort|passphrase|pwd|secret|(?:^|[_.-])(?:otp|totp|pin|cvv|cvc))s?(?:[0-9_-][a-z0-9_-]{0,16})?)$",
    )
});
static OFTEN_SECRET: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"^(?i-u:[a-z0-9_.-]*(?:token|(?:api|access|private|account|shared|encryption|signing|auth)[_-]?key|authorization|credentials?|x-auth))$",
    )
});

/// Of a value and of the scheme of a URL, in bytes.
pub const LONGEST_NAME: usize = 80;
const LEAST_VALUE: usize = 6;

#[derive(Clone, Copy, PartialEq)]
pub enum Label {
    Always,
    Often,
}

/// What a name says about its value.
pub fn label(name: &str) -> Option<Label> {
    if ALWAYS_SECRET.matches(name) {
        Some(Label::Always)
    } else {
        OFTEN_SECRET.matches(name).then_some(Label::Often)
    }
}

impl Label {
    /// Whether the value of a name is to be masked. `certain` where the value is given to the name, as in `token=x`,
    /// rather than in a sentence, as in `Unexpected token: word`.
    pub fn covers(self, value: &str, certain: bool) -> bool {
        match self {
            Self::Always => !value.is_empty(),
            Self::Often => {
                value.len() >= LEAST_VALUE
                    && !value
                        .bytes()
                        .all(|b| b.is_ascii_digit() || b == b'.' || b == b',')
                    && (certain || looks_secret(value))
            }
        }
    }
}

/// A key or token that starts here, in a word that ends there.
pub fn key(text: &str, word_end: usize) -> Option<Found> {
    // The shortest has 11 characters; a dot may come early in it.
    const SHORTEST: usize = 11;
    if word_end < SHORTEST {
        return None;
    }
    let plain = || PLAIN_KEY.end(text).filter(|end| has_digit(text, *end));
    let (end, word) = (KEYS.end(text).or_else(plain).map(|end| (end, KEY)))
        .or_else(|| TOKENS.end(text).map(|end| (end, TOKEN)))
        .or_else(|| JSON_WEB_TOKEN.end(text).map(|end| (end, TOKEN)))?;
    let end = run_end(text, end, |c| {
        c.is_ascii_alphanumeric() || "_-.".contains(c)
    });
    let end = text.get(..end)?.trim_end_matches('.').len();
    Some((0, end, word))
}

/// The block that starts here, up to its end or, where that was cut off, the end of the text.
pub fn private_key(text: &str) -> Option<Found> {
    const END: &str = "-----END";
    let start = PRIVATE_KEY.end(text)?;
    let body = text.get(start..)?;
    let end = body.find(END).map_or(text.len(), |at| {
        let line = at + END.len();
        let rest = body.get(line..).unwrap_or_default();
        start + line + rest.find("-----").map_or(rest.len(), |dashes| dashes + 5)
    });
    Some((0, end, KEY))
}

/// The user and password in a URL whose scheme starts here and ends there.
pub fn url_user(text: &str, scheme: usize) -> Option<Found> {
    let rest = text.get(scheme..)?.strip_prefix("://")?;
    let start = scheme + 3;
    let rest = near(rest, FAR);
    let word = run_end(rest, 0, |c| !c.is_whitespace() && !"\"'<>`\\".contains(c));
    let word = rest.get(..word)?;
    let authority = word.get(..run_end(word, 0, |c| !"/?#".contains(c)))?;
    if let Some(user) = authority.rfind('@') {
        return Some((start, start + user, SECRET));
    }
    // A password with a slash in it, which should have been escaped. A port is no password.
    let (_, password) = authority.split_once(':')?;
    if password.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let user = word.rfind('@')?;
    Some((start, start + user, SECRET))
}

/// The value behind a name that starts here and ends there: `password=`, `"api_key": "`.
pub fn labelled(text: &str, name_end: usize) -> Option<Found> {
    let (separator, quoted_name) = skip_quote(text, name_end);
    let separator = run_end(text, separator, char::is_whitespace);
    let after = run_end(text, separator, |c| ":=>".contains(c));
    if after == separator {
        return None;
    }
    let label = label(text.get(..name_end)?)?;
    let certain = quoted_name.is_some() || text.get(separator..after)?.contains('=');
    let (mut start, quote) = skip_quote(text, run_end(text, after, char::is_whitespace));
    if let Some(scheme) = SCHEME.end(text.get(start..)?) {
        start += scheme;
    }
    let end = value_end(text, start, quote);
    let value = text.get(start..end)?;
    label.covers(value, certain).then_some((start, end, SECRET))
}

/// Past a quotation mark, which may be escaped.
fn skip_quote(text: &str, from: usize) -> (usize, Option<char>) {
    let at = run_end(text, from, |c| c == '\\');
    let next = text.get(at..).and_then(|rest| rest.chars().next());
    match next.filter(|c| "\"'`".contains(*c)) {
        Some(quote) => (at + 1, Some(quote)),
        None => (at, None),
    }
}

fn value_end(text: &str, start: usize, quote: Option<char>) -> usize {
    const MOST_BRACKETS: usize = 8;
    let rest = text.get(start..).unwrap_or_default();
    if let Some(end) = quote.and_then(|quote| rest.find(quote)) {
        let value = rest.get(..end).unwrap_or_default();
        return start + value.trim_end_matches('\\').len();
    }
    let mut end = run_end(rest, 0, |c| !c.is_whitespace() && !"\"'`&;<>".contains(c));
    // A bracket or a comma at the end belongs to the sentence.
    for _ in 0..MOST_BRACKETS {
        let value = rest.get(..end).unwrap_or_default();
        let open = match value.chars().next_back() {
            Some(')') => '(',
            Some(']') => '[',
            Some('}') => '{',
            Some(',' | '\\') => '\0',
            _ => break,
        };
        if value.contains(open) {
            break;
        }
        end -= 1;
    }
    start + end
}

/// The credentials after `Bearer` or `Basic`.
pub fn bearer(text: &str) -> Option<Found> {
    let start = SCHEME.end(text)?;
    let length = run_end(text.get(start..)?, 0, |c| {
        c.is_ascii_alphanumeric() || "-._~+/=".contains(c)
    });
    let value = text.get(start..start + length)?;
    (value.len() >= LEAST_VALUE && looks_secret(value)).then_some((start, start + length, TOKEN))
}

/// Words of a language have no digits, and capitals at their start only.
fn looks_secret(value: &str) -> bool {
    let bytes = value.as_bytes();
    let inner_capital =
        |pair: &[u8]| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase());
    bytes.iter().any(u8::is_ascii_digit) || bytes.windows(2).any(inner_capital)
}

fn has_digit(text: &str, end: usize) -> bool {
    text.get(..end)
        .is_some_and(|key| key.bytes().any(|b| b.is_ascii_digit()))
}
