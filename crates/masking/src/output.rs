//! Text that stops growing at a number of characters.

const ELLIPSIS: char = '…';

pub struct Output {
    text: String,
    chars: usize,
    max: usize,
    /// Where the ellipsis goes should there be more: after `max - 1` characters, or before a word that ends later.
    cut: Option<usize>,
    overflowed: bool,
}

impl Output {
    pub fn new(max: usize) -> Self {
        Self {
            text: String::new(),
            chars: 0,
            max,
            cut: None,
            overflowed: false,
        }
    }

    /// Whether something had to be left out: nothing that follows matters any more.
    pub fn is_full(&self) -> bool {
        self.overflowed
    }

    pub fn push(&mut self, plain: &str) {
        for c in plain.chars() {
            if !self.reserve(1) {
                return;
            }
            self.text.push(c);
        }
    }

    /// Appends a word that is there as a whole or not at all.
    pub fn push_word(&mut self, word: &str) {
        if self.reserve(word.len()) {
            self.text.push_str(word);
        }
    }

    fn reserve(&mut self, chars: usize) -> bool {
        let end = self.chars.saturating_add(chars);
        if end >= self.max && self.cut.is_none() {
            self.cut = Some(self.text.len());
        }
        if end > self.max {
            self.overflowed = true;
            return false;
        }
        self.chars = end;
        true
    }

    pub fn finish(mut self) -> String {
        if self.overflowed {
            self.text.truncate(self.cut.unwrap_or_default());
            if self.max > 0 {
                self.text.push(ELLIPSIS);
            }
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::Output;

    fn joined(max: usize, parts: &[&str]) -> String {
        let mut out = Output::new(max);
        for part in parts {
            if part.starts_with('[') {
                out.push_word(part);
            } else {
                out.push(part);
            }
        }
        out.finish()
    }

    #[test]
    fn cuts_at_characters_and_around_words() {
        assert_eq!(joined(5, &["abcde"]), "abcde");
        assert_eq!(joined(5, &["abcdef"]), "abcd…");
        assert_eq!(joined(5, &["äöüßé", "x"]), "äöüß…");
        assert_eq!(joined(5, &["ab", "[x]"]), "ab[x]");
        assert_eq!(joined(5, &["ab", "[x]", "c"]), "ab…");
        assert_eq!(joined(6, &["ab", "[x]", "cd"]), "ab[x]…");
        assert_eq!(joined(4, &["ab", "[x]"]), "ab…");
        assert_eq!(joined(2, &["ab", "[x]"]), "a…");
        assert_eq!(joined(1, &["ab"]), "…");
        assert_eq!(joined(1, &["a"]), "a");
        assert_eq!(joined(0, &["ab"]), "");
        assert_eq!(joined(0, &[""]), "");
    }
}
