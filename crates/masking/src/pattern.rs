//! Regular expressions that look at the start of a text, and runs of characters.

use regex::Regex;

/// How far a step looks ahead, in bytes: what is longer is found by its beginning. It bounds the time of each step.
pub const FAR: usize = 1024;

/// A pattern of this crate, compiled once. `regex` takes linear time on any text.
pub struct Pattern(Option<Regex>);

impl Pattern {
    pub fn new(pattern: &str) -> Self {
        let regex = Regex::new(pattern);
        debug_assert!(regex.is_ok(), "{pattern}");
        Self(regex.ok())
    }

    /// Where the match ends.
    pub fn end(&self, text: &str) -> Option<usize> {
        Some(self.0.as_ref()?.find(near(text, FAR))?.end())
    }

    pub fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// The first part of a text, of so many bytes or a little less.
pub fn near(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// Part of a word, in any script.
pub fn is_word(c: char) -> bool {
    // Marks that are written over the letter before them.
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

/// Where the run ends of characters that start at a byte.
pub fn run_end(text: &str, from: usize, belongs: impl Fn(char) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.find(|c| !belongs(c))
        .map_or(text.len(), |length| from + length)
}
