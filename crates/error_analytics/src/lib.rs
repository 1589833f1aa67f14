//! Which errors are the same: their messages without personal data, ids, numbers and times. Knows nothing of Postgres.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A message is looked at this far, in characters.
const LONGEST: usize = 500;

/// The message as a pattern: masked, in lower case, `<id>` for UUIDs and other long ids, `<hex>` for hexadecimal words,
/// `<n>` for numbers (dates, times, addresses and versions included), blanks as one space; at most 500 characters.
///
/// What is normalised already stays as it is.
pub fn normalise(message: &str) -> String {
    let masked = masking::mask(message, LONGEST);
    let mut pattern = String::with_capacity(masked.len());
    let mut rest = masked.as_str();
    while let Some(first) = rest.chars().next() {
        if first == '<'
            && let Some(marker) = ["<id>", "<hex>", "<n>"]
                .into_iter()
                .find(|m| rest.starts_with(m))
        {
            push(&mut pattern, marker);
            rest = rest.get(marker.len()..).unwrap_or("");
        } else if first.is_alphanumeric() || first == '_' {
            let end = end_of_word(rest);
            let (word, others) = rest.split_at(end);
            write_word(&mut pattern, word);
            rest = others;
        } else {
            if first.is_whitespace() || first.is_control() {
                if !pattern.is_empty() && !pattern.ends_with(' ') {
                    pattern.push(' ');
                }
            } else {
                pattern.extend(first.to_lowercase());
            }
            rest = rest.get(first.len_utf8()..).unwrap_or("");
        }
    }
    pattern.truncate(pattern.trim_end().len());
    pattern
}

/// Sixteen hexadecimal digits that are the same for errors of one type, category and pattern of message.
pub fn fingerprint(error_type: &str, category: &str, message: Option<&str>) -> String {
    let mut digest = Sha256::new();
    digest.update(error_type);
    digest.update([0]);
    digest.update(category);
    digest.update([0]);
    if let Some(message) = message {
        digest.update(normalise(message));
    }
    digest
        .finalize()
        .iter()
        .take(8)
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Letters, digits and underscores, and what joins digits: dots, colons, commas, slashes, hyphens and signs of an offset.
fn end_of_word(text: &str) -> usize {
    let mut previous = ' ';
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map_or(' ', |(_, next)| *next);
        let joins = matches!(c, '.' | ':' | ',' | '/' | '-' | '+')
            && previous.is_ascii_hexdigit()
            && next.is_ascii_hexdigit()
            && (previous.is_ascii_digit() || next.is_ascii_digit() || c == '-');
        if !(c.is_alphanumeric() || c == '_' || joins) {
            return at;
        }
        previous = c;
    }
    text.len()
}

fn write_word(pattern: &mut String, word: &str) {
    if !word.bytes().any(|byte| byte.is_ascii_digit()) {
        pattern.extend(word.chars().flat_map(char::to_lowercase));
    } else if is_uuid(word) {
        push(pattern, "<id>");
    } else {
        // A word with hyphens may be a name with a number, or a date.
        for (number, part) in word.split('-').enumerate() {
            if number > 0 && !(pattern.ends_with("<n>") && is_number(part)) {
                pattern.push('-');
            }
            write_part(pattern, part);
        }
    }
}

fn write_part(pattern: &mut String, part: &str) {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let hex = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    if digits == 0 {
        pattern.extend(part.chars().flat_map(char::to_lowercase));
    } else if is_number(part) {
        push(pattern, "<n>");
    } else if hex.is_some_and(is_hex) || (part.len() >= 6 && is_hex(part)) {
        push(pattern, "<hex>");
    } else if part.len() >= 16
        && digits >= 4
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        push(pattern, "<id>");
    } else {
        // Letters with numbers: attempt3, 30s, gpt-4.
        for c in part.chars() {
            if c.is_ascii_digit() {
                push(pattern, "<n>");
            } else if !(matches!(c, '.' | ':' | ',' | '/' | '+') && pattern.ends_with("<n>")) {
                pattern.extend(c.to_lowercase());
            }
        }
    }
}

/// Adds a marker, once where it would follow itself.
fn push(pattern: &mut String, marker: &str) {
    if !pattern.ends_with(marker) {
        pattern.push_str(marker);
    }
}

fn is_hex(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_number(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
        && word
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':' | b',' | b'/' | b'+' | b'_'))
}

fn is_uuid(word: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let mut parts = word.split('-');
    let mut matches = true;
    for length in lengths {
        matches &= parts
            .next()
            .is_some_and(|part| part.len() == length && is_hex(part));
    }
    matches && parts.next().is_none()
}
