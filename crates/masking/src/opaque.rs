//! Long random words: hexadecimal and Base64 of 32 characters and more, whatever issued them.
//!
//! A word is random when letters and digits, or small and capital letters, alternate more often than in names that
//! people give: paths, class names, hosts and dates stay.

/// The least length, and the length of the window in which alternations are counted.
const WINDOW: usize = 32;
/// Random Base64 has 20 ± 3 alternations in a window, a camel-case name about 12, and with a digit in it about 10.
const MANY: usize = 15;
const MANY_WITH_DIGIT: usize = 11;
/// Random lower-case letters and digits have 12 ± 3; a name with a date in it has about 5.
const SOME: usize = 7;
const SOME_DIGITS: usize = 3;

pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

pub fn is_base64_byte(byte: u8) -> bool {
    is_word_byte(byte) || byte == b'+' || byte == b'/'
}

/// Whether a run of such bytes holds a random word.
pub fn looks_random(run: &[u8]) -> bool {
    has_long_hex(run) || has_random_window(run)
}

fn has_random_window(run: &[u8]) -> bool {
    let Some(first) = run.get(..WINDOW) else {
        return false;
    };
    let mut window = Window::of(first);
    window.is_random()
        || run.windows(WINDOW + 1).any(|bytes| {
            window.slide(bytes);
            window.is_random()
        })
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Window {
    letters: usize,
    capitals: usize,
    digits: usize,
    alternations: usize,
}

impl Window {
    fn of(bytes: &[u8]) -> Self {
        let mut window = Self::default();
        for byte in bytes {
            window.count(*byte, 1);
        }
        window.alternations = bytes.windows(2).filter(|pair| alternates(pair)).count();
        window
    }

    fn count(&mut self, byte: u8, by: isize) {
        if byte.is_ascii_digit() {
            self.digits = self.digits.saturating_add_signed(by);
        } else if byte.is_ascii_alphabetic() {
            self.letters = self.letters.saturating_add_signed(by);
            if byte.is_ascii_uppercase() {
                self.capitals = self.capitals.saturating_add_signed(by);
            }
        }
    }

    /// From all but the last of these bytes to all but the first, so that a long run costs no more than its length.
    fn slide(&mut self, bytes: &[u8]) {
        if let [first, second, .., second_last, last] = *bytes {
            self.count(first, -1);
            self.count(last, 1);
            self.alternations += usize::from(alternates(&[second_last, last]));
            self.alternations -= usize::from(alternates(&[first, second]));
        }
    }

    fn is_random(self) -> bool {
        self.letters > 0
            && (self.alternations >= MANY
                || self.digits > 0 && self.capitals > 0 && self.alternations >= MANY_WITH_DIGIT
                || self.digits >= SOME_DIGITS && self.alternations >= SOME)
    }
}

fn alternates(pair: &[u8]) -> bool {
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    };
    match pair {
        [a, b] => class(a) != class(b) && class(a) > 0 && class(b) > 0,
        _ => false,
    }
}

fn has_long_hex(run: &[u8]) -> bool {
    run.split(|byte| !byte.is_ascii_hexdigit()).any(|word| {
        word.len() >= WINDOW
            && word.iter().any(u8::is_ascii_digit)
            && word.iter().any(u8::is_ascii_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_random_words_from_names() {
        for random in [
            "d41d8cd98f00b204e9800998ecf8427e",
            "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "very-long-prefix-of-words-without-digits-q8Zr2LmX0vB7tYc4KdJ9sWf1HgPnA6eU",
            "k3j5h2g8f7d9s1a4p6o0i2u5y8t3r7e1",
            "aGVsbG8gd29ybGQsIHRoaXMgaXMgYSBzZWNyZXQ",
        ] {
            assert!(looks_random(random.as_bytes()), "{random}");
        }
        for name in [
            "OAuth2AuthenticationTokenFilterFactory",
            "usr/lib/python3/dist-packages/x86_64-linux-gnu",
            "agent-runs-2024-01-15-production-eu-west-1",
            "backup-2024-01-15T10-20-30Z-v2-db1-part",
            "this_is_a_very_long_name_of_a_test_that_somebody_wrote",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "----------------------------------------",
            "1234567890123456789012345678901234567890",
            "short1A",
        ] {
            assert!(!looks_random(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn windows_slide_as_if_counted_anew() {
        let run = b"aB3-xY9_zzzQQ12345aAbBcC___9f8e7d6c5b4a3210PPPPqqqq0000-0a0b";
        let mut window = Window::of(&run[..WINDOW]);
        for bytes in run.windows(WINDOW + 1) {
            window.slide(bytes);
            assert_eq!(window, Window::of(&bytes[1..]));
        }
    }
}
