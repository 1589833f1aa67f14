//! The way through a text: from one start of a word to the next, and at each the question whether a secret starts here.

use crate::numbers::{Number, labelled_phone, marked_phone, may_call_a_phone, number, plain_end};
use crate::opaque::{is_base64_byte, is_word_byte, looks_random};
use crate::output::Output;
use crate::pattern::{FAR, is_word, near, run_end};
use crate::secrets::{Found, LONGEST_NAME, bearer, key, labelled, private_key, url_user};
use crate::{EMAIL, PHONE, TOKEN};

/// The text without personal data and secrets, at most `max_chars` characters long; the last is an ellipsis where
/// something was cut off.
///
/// The time grows with what is read, which ends with the last character that is returned. Masking what was masked
/// changes nothing.
///
/// ```
/// # use masking::mask;
/// assert_eq!(mask("ann@example.com sent 15000 tokens", 200), "[email] sent 15000 tokens");
/// assert_eq!(mask("password=hunter2 is wrong", 20), "password=[secret] i…");
/// ```
#[must_use]
pub fn mask(text: &str, max_chars: usize) -> String {
    // What is left beside a replaced or cut part can look like something else: once more, until nothing does.
    const PASSES: usize = 8;
    let mut masked = Scanner::new(text).run(max_chars);
    if masked == text {
        return masked;
    }
    for _ in 1..PASSES {
        let again = Scanner::new(&masked).run(max_chars);
        if again == masked {
            break;
        }
        masked = again;
    }
    masked
}

/// What a step found: text up to the first place stays, up to the second it is replaced by the word.
type Step = (usize, usize, &'static str);

struct Scanner<'a> {
    text: &'a str,
    /// End of the last run of characters that may stand before the @ of an address: each run is read once.
    local_end: usize,
    /// Runs up to here are not random words.
    not_random_until: [usize; 2],
    /// A word starts here, although a character of a word stands before.
    start: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            local_end: 0,
            not_random_until: [0; 2],
            start: 0,
        }
    }

    fn run(mut self, max_chars: usize) -> String {
        let mut out = Output::new(max_chars);
        let mut at = 0;
        let mut before = None;
        while let Some(c) = self.rest(at).chars().next() {
            let (plain, end, word) = self.step(at, c, before);
            out.push(self.text.get(at..plain).unwrap_or_default());
            if !word.is_empty() {
                out.push_word(word);
            }
            if out.is_full() {
                break;
            }
            // Every step moves on.
            at = end.max(at + c.len_utf8());
            before = self
                .text
                .get(..at)
                .and_then(|done| done.chars().next_back());
        }
        out.finish()
    }

    fn rest(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    fn step(&mut self, at: usize, c: char, before: Option<char>) -> Step {
        let after_word = before.is_some_and(is_word) && at != self.start;
        let next = at + c.len_utf8();
        let plain = |end: usize| (end, end, "");
        if !is_word(c) {
            let phone = (matches!(c, '+' | '(') && !after_word)
                .then(|| marked_phone(self.rest(at)))
                .flatten();
            return phone.map_or(plain(next), |end| (at, at + end, PHONE));
        }
        if after_word {
            return plain(run_end(self.text, at, is_word));
        }
        if let Some(end) = self.escape_end(at, before) {
            self.start = end;
            return plain(end);
        }
        if let Some(end) = self.email_end(at) {
            return (at, end, EMAIL);
        }
        if self.is_uuid(at) {
            return plain(at + UUID_LENGTH);
        }
        if let Some((start, end, word)) = self.secret(at, c, before) {
            return (at + start, at + end, word);
        }
        if c.is_ascii_digit() {
            match number(self.rest(at)) {
                Number::Masked(end, word) => return (at, at + end, word),
                Number::Plain(end) => return plain(at + end),
                Number::Unknown => {}
            }
        }
        plain(plain_end(self.text, run_end(self.text, at, is_word)))
    }

    fn secret(&mut self, at: usize, c: char, before: Option<char>) -> Option<Found> {
        let rest = self.rest(at);
        if c == 'B'
            && before == Some('-')
            && let Some(found) = private_key(rest)
        {
            return Some(found);
        }
        let name_end = run_end(near(rest, LONGEST_NAME), 0, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
        });
        // A random word before what it may be a name of, because names stay.
        key(rest, name_end)
            .or_else(|| self.random_end(at).map(|end| (0, end - at, TOKEN)))
            .or_else(|| url_user(rest, name_end))
            .or_else(|| labelled(rest, name_end))
            // Most words need not be asked.
            .or_else(|| matches!(c, 'b' | 'B').then(|| bearer(rest)).flatten())
            .or_else(|| {
                let (start, end) = may_call_a_phone(c)
                    .then(|| labelled_phone(rest))
                    .flatten()?;
                Some((start, end, PHONE))
            })
    }

    /// The end of an address whose name starts here.
    fn email_end(&mut self, at: usize) -> Option<usize> {
        if self.local_end <= at {
            self.local_end = run_end(self.text, at, |c| {
                is_word(c) || matches!(c, '.' | '_' | '%' | '+' | '\'' | '-')
            });
        }
        let name = self.text.get(at..self.local_end)?;
        let domain = if self.rest(self.local_end).starts_with('@') {
            self.local_end + 1
        } else {
            let name = near(name, FAR);
            name.find('%')?;
            at + name.find("%40").filter(|name| *name > 0)? + 3
        };
        let end = run_end(self.text, domain, |c| is_word(c) || c == '.' || c == '-');
        let host = self.text.get(domain..end)?.trim_end_matches(['.', '-']);
        let is_top = |label: &str| label.chars().take(2).filter(|c| c.is_alphabetic()).count() == 2;
        host.split('.')
            .skip(1)
            .any(is_top)
            .then_some(domain + host.len())
    }

    /// The end of an escape that hides where a word starts: `\n` in a quoted text, `%3D` in a URL.
    fn escape_end(&self, at: usize, before: Option<char>) -> Option<usize> {
        let rest = self.rest(at).as_bytes();
        match (before?, rest) {
            ('\\', [b'n' | b'r' | b't' | b'b' | b'f', ..]) => Some(at + 1),
            ('%', [a, b, ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => Some(at + 2),
            _ => None,
        }
    }

    fn is_uuid(&self, at: usize) -> bool {
        let id = self.rest(at).as_bytes().get(..UUID_LENGTH);
        let right = |(place, byte): (usize, &u8)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        id.is_some_and(|id| id.iter().enumerate().all(right))
            && !self.rest(at + UUID_LENGTH).starts_with(is_word)
    }

    /// The end of a long random word that starts here, without an id that follows it.
    fn random_end(&mut self, at: usize) -> Option<usize> {
        let words: [fn(u8) -> bool; 2] = [is_word_byte, is_base64_byte];
        for (belongs, until) in words.iter().zip(0..) {
            if self
                .not_random_until
                .get(until)
                .is_some_and(|end| at < *end)
            {
                continue;
            }
            let end = self.run_without_ids(at, *belongs);
            if looks_random(self.text.as_bytes().get(at..end)?) {
                return Some(self.random_word_end(end, *belongs));
            }
            if let Some(checked) = self.not_random_until.get_mut(until) {
                *checked = end;
            }
        }
        None
    }

    /// The rest of one that is longer than what was looked at, and the padding of Base64.
    fn random_word_end(&self, end: usize, belongs: fn(u8) -> bool) -> usize {
        let end = if self.is_uuid(end) {
            end
        } else {
            run_end(self.text, end, |c| u8::try_from(c).is_ok_and(belongs))
        };
        run_end(self.text, end, |c| c == '=')
    }

    fn run_without_ids(&self, at: usize, belongs: fn(u8) -> bool) -> usize {
        let bytes = near(self.rest(at), FAR).as_bytes();
        let length = bytes.iter().take_while(|byte| belongs(**byte)).count();
        let mut starts = (1..length).filter(|place| {
            bytes
                .get(place - 1)
                .is_some_and(|byte| !byte.is_ascii_alphanumeric())
        });
        at + starts
            .find(|place| self.is_uuid(at + place))
            .unwrap_or(length)
    }
}

const UUID_LENGTH: usize = 36;
