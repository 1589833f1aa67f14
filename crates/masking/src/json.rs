//! The same for the text of a JSON document, which stays one.

use crate::numbers::is_phone_label;
use crate::scan::mask;
use crate::secrets::label;
use crate::{PHONE, SECRET};

/// Masks the strings of a document, its keys and its numbers; each string is cut by itself. Where it is seen not to be
/// JSON, it is masked as a text and quoted.
///
/// ```
/// # use masking::mask_json;
/// assert_eq!(
///     mask_json(r#"{"from": "ann@example.com", "password": "x y", "tokens": 15000}"#, 200),
///     r#"{"from": "[email]", "password": "[secret]", "tokens": 15000}"#
/// );
/// ```
#[must_use]
pub fn mask_json(document: &str, max_chars: usize) -> String {
    rewrite(document, max_chars).unwrap_or_else(|| quoted(&mask(document, max_chars)))
}

fn rewrite(document: &str, max_chars: usize) -> Option<String> {
    let mut out = String::with_capacity(document.len());
    let mut key: Option<String> = None;
    let mut at = 0;
    while let Some(byte) = document.as_bytes().get(at) {
        let rest = document.get(at..)?;
        let length = match byte {
            b'"' => {
                let length = string_length(rest)?;
                let value: String = serde_json::from_str(rest.get(..length)?).ok()?;
                if rest.get(length..)?.trim_start().starts_with(':') {
                    out += &quoted(&mask(&value, max_chars));
                    key = Some(value);
                } else {
                    out += &quoted(&masked_value(key.take().as_deref(), &value, max_chars));
                }
                length
            }
            b'-' | b'0'..=b'9' => {
                let length = rest
                    .find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c))
                    .unwrap_or(rest.len());
                let number = rest.get(..length)?;
                let masked = masked_value(key.take().as_deref(), number, max_chars.max(length));
                if masked == number {
                    out += number;
                } else {
                    out += &quoted(&masked);
                }
                length
            }
            b'{' | b'[' | b'}' | b']' | b',' => {
                key = None;
                out.push(char::from(*byte));
                1
            }
            b':' | b' ' | b'\t' | b'\r' | b'\n' | b'a'..=b'z' => {
                out.push(char::from(*byte));
                1
            }
            _ => return None,
        };
        at += length;
    }
    Some(out)
}

/// What the name of a value says about it counts as in a text.
fn masked_value(key: Option<&str>, value: &str, max_chars: usize) -> String {
    let label = key.and_then(label);
    if label.is_some_and(|label| label.covers(value, true)) {
        return mask(SECRET, max_chars);
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    if key.is_some_and(is_phone_label) && (6..=15).contains(&digits) {
        return mask(PHONE, max_chars);
    }
    mask(value, max_chars)
}

fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stay_documents() {
        for (document, masked) in [
            (
                r#"{"a": [1, -2.5e10, true, null, "x"]}"#,
                r#"{"a": [1, -2.5e10, true, null, "x"]}"#,
            ),
            (
                r#"{"ann@example.com": {"phone": 612345678}}"#,
                r#"{"[email]": {"phone": "[phone]"}}"#,
            ),
            (
                r#"{"phone_calls": 612345678, "api_key": "abcdef12"}"#,
                r#"{"phone_calls": 612345678, "api_key": "[secret]"}"#,
            ),
            (
                r#"{"token": 15000, "secret": 15000}"#,
                r#"{"token": 15000, "secret": "[secret]"}"#,
            ),
            (
                r#"{"password": {"hint": "blue"}}"#,
                r#"{"password": {"hint": "blue"}}"#,
            ),
            (
                r"[4111111111111111, 4111111111111112]",
                r#"["[card]", 4111111111111112]"#,
            ),
            (
                r#""say \"ann@example.com\"\n\u00e9""#,
                r#""say \"[email]\"\né""#,
            ),
            (r#"{"big": 1e400}"#, r#"{"big": 1e400}"#),
            ("not json ann@example.com", r#""not json [email]""#),
            (r#"{"open": "ann@example.com"#, r#""{\"open\": \"[email]""#),
        ] {
            assert_eq!(mask_json(document, 200), masked);
            assert_eq!(mask_json(masked, 200), masked);
        }
        assert_eq!(mask_json(r#"["abcdef", 123456]"#, 3), r#"["ab…", 123456]"#);
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(mask_json(&deep, 10), deep);
    }
}
