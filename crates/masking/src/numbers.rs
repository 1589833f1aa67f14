//! Phone and card numbers among other numbers: dates, versions, counts and ids stay.

use std::sync::LazyLock;

use crate::pattern::{Pattern, is_word, run_end};
use crate::{CARD, PHONE};

/// More digits than in any number that is looked for.
const MOST_DIGITS: usize = 24;

/// A date, with its time: not part of a phone number, whatever stands beside it.
static DATE: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"^(?-u:(?:\d{4}-\d\d?-\d\d?|\d{4}/\d\d?/\d\d?|\d\d?-\d\d?-\d{4}|\d\d?/\d\d?/\d{2,4}|\d\d?\.\d\d?\.\d{4})(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?Z?)?)",
    )
});
/// North America: 555-123-4567, (555) 123-4567, 1-555-123-4567.
static NORTH_AMERICAN: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r"^(?-u:(?:1[ .-])?(?:\([2-9]\d\d\) ?\d{3}[ .-]|[2-9]\d\d[.-]\d{3}[.-]|[2-9]\d\d [2-9]\d\d[ -])\d{4})",
    )
});
/// China's mobiles: 138-1234-5678.
static CHINESE: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^(?-u:1[3-9]\d[ -]\d{4}[ -]\d{4})"));
static AREA_CODE: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"^(?-u:\(\d{2,5}\) ?)"));
/// What says that a phone number follows.
static LABEL: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::new(
        r#"^(?i-u:(?:(?:tel|telephone|telefon|telefono|phone|mobile|mobil|cell|fax|whatsapp)(?:[ _-]?(?:number|no|nr)\.?)?\\*["']?\s?[:=.]|(?:call|text|reach|phone) me (?:at|on))\s?\\*["']?\(?)"#,
    )
});

/// Groups of digits with their separators, from the start of a text.
struct Digits {
    digits: Vec<u8>,
    /// After each group: the number of digits so far, and where it ends in the text.
    groups: Vec<(usize, usize)>,
}

impl Digits {
    fn read(text: &str, separators: &[u8], most_separators: usize) -> Self {
        let mut read = Self {
            digits: Vec::new(),
            groups: Vec::new(),
        };
        let mut gap = 0;
        let mut in_group = false;
        for (at, byte) in text.bytes().enumerate() {
            if byte.is_ascii_digit() {
                read.digits.push(byte - b'0');
                (gap, in_group) = (0, true);
            } else {
                read.close_group(&mut in_group, at);
                gap += 1;
                if !separators.contains(&byte) || gap > most_separators {
                    return read;
                }
            }
            if read.digits.len() > MOST_DIGITS {
                return read;
            }
        }
        read.close_group(&mut in_group, text.len());
        read
    }

    fn close_group(&mut self, in_group: &mut bool, at: usize) {
        if std::mem::take(in_group) {
            self.groups.push((self.digits.len(), at));
        }
    }

    /// Where the longest number ends that has so many digits and at least so many groups.
    fn end(&self, digits: std::ops::RangeInclusive<usize>, least_groups: usize) -> Option<usize> {
        self.groups
            .iter()
            .enumerate()
            .rev()
            .find(|(group, (count, _))| *group + 1 >= least_groups && digits.contains(count))
            .map(|(_, (_, end))| *end)
    }

    fn card_end(&self) -> Option<usize> {
        // As on the card: in one, or in groups of 4 or of 4, 6 and 4 or 5.
        let parts = match *self.groups.as_slice() {
            [(4, _), (8 | 10, _), ..] => 5,
            [(13.., _), ..] => 1,
            _ => return None,
        };
        let card = |(count, end): &(usize, usize)| {
            let digits = self.digits.get(..*count)?;
            is_card(digits).then_some(*end)
        };
        self.groups.iter().take(parts).rev().find_map(card)
    }
}

/// What to do with a number that starts where a word starts.
pub enum Number {
    /// Ends there and is replaced by this.
    Masked(usize, &'static str),
    /// Ends there and stays, as a whole.
    Plain(usize),
    /// Nothing special.
    Unknown,
}

/// Looks at a text that starts with a digit.
pub fn number(text: &str) -> Number {
    if let Some(end) = date_end(text) {
        return Number::Plain(end);
    }
    let end = Digits::read(text, b" -", 1)
        .card_end()
        .filter(|end| ends_number(text, *end));
    if let Some(end) = end {
        return Number::Masked(end, CARD);
    }
    let end = NORTH_AMERICAN
        .end(text)
        .or_else(|| CHINESE.end(text))
        .or_else(|| national(text))
        .filter(|end| ends_number(text, *end));
    end.map_or(Number::Unknown, |end| Number::Masked(end, PHONE))
}

/// A number with the prefix 0 or 00 that is dialled before area and country codes.
fn national(text: &str) -> Option<usize> {
    let mut bytes = text.bytes();
    if bytes.next() != Some(b'0') || is_dotted_quad(text) {
        return None;
    }
    let all = Digits::read(text, b" .-/()", 2);
    match (bytes.next(), bytes.next()) {
        (Some(b'0'), Some(b'1'..=b'9')) => all.end(11..=17, 1),
        (Some(b'1'..=b'9'), _) => all.end(9..=12, 2).or_else(|| all.end(10..=11, 1)),
        _ => None,
    }
}

/// 010.020.030.040 is a machine.
fn is_dotted_quad(text: &str) -> bool {
    let end = run_end(text, 0, |c| c.is_ascii_digit() || c == '.');
    text.get(..end)
        .is_some_and(|quad| quad.split('.').count() >= 4 && quad.split('.').all(|n| n.len() <= 3))
}

/// Looks at a text that starts with a plus sign or a bracket.
pub fn marked_phone(text: &str) -> Option<usize> {
    let end = if let Some(digits) = text.strip_prefix('+') {
        // Codes of countries do not start with 0, but offsets of time zones do.
        let all = Digits::read(digits, b" .-/()", 3);
        all.digits.first().filter(|first| **first != 0)?;
        all.end(8..=15, 1)? + 1
    } else if let Some(end) = NORTH_AMERICAN.end(text) {
        end
    } else {
        let number = AREA_CODE.end(text)?;
        if date_end(text.get(number..)?).is_some() {
            return None;
        }
        Digits::read(text.get(1..)?, b" .-/)", 2).end(9..=12, 2)? + 1
    };
    ends_number(text, end).then_some(end)
}

/// Whether a word that starts like this can be followed by a phone number.
pub fn may_call_a_phone(first: char) -> bool {
    "tpmcfwr".contains(first.to_ascii_lowercase())
}

/// A number after a word that calls it a phone number: where it starts and ends.
pub fn labelled_phone(text: &str) -> Option<(usize, usize)> {
    let start = LABEL.end(text)?;
    let number = text.get(start..)?;
    if date_end(number).is_some() {
        return None;
    }
    let end = Digits::read(number, b" .-/()", 2).end(6..=15, 1)?;
    ends_number(number, end).then_some((start, start + end))
}

/// Whether a name, such as a key of a JSON object, calls its value a phone number.
pub fn is_phone_label(name: &str) -> bool {
    let label = format!("{name}=");
    LABEL.end(&label) == Some(label.len())
}

/// Where a plain number ends that a word ends with: 1.5, 1.2.3, 15,000 and 10:20:30 are not two numbers.
pub fn plain_end(text: &str, word_end: usize) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = word_end;
    while end > 0 && digit(end - 1) && digit(end + 1) {
        let next = run_end(text, end + 1, |c| c.is_ascii_digit());
        let length = next - end - 1;
        let continues = match bytes.get(end) {
            Some(b'.') => true,
            Some(b',') => length == 3,
            Some(b':') => length == 2,
            _ => false,
        };
        if !continues || !ends_number(text, next) {
            break;
        }
        end = next;
    }
    end
}

fn date_end(text: &str) -> Option<usize> {
    DATE.end(text).filter(|end| ends_number(text, *end))
}

fn ends_number(text: &str, end: usize) -> bool {
    text.get(end..)
        .is_none_or(|rest| !rest.starts_with(is_word))
}

/// Whether the check digit is right and an issuer has cards that start like this.
fn is_card(digits: &[u8]) -> bool {
    let prefix = |length: usize| {
        let head = digits.get(..length).unwrap_or_default();
        head.iter()
            .fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    let issued = match digits.len() {
        13 => prefix(1) == 4,
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305),
        15 => matches!(prefix(2), 34 | 37),
        16..=19 => {
            matches!(prefix(1), 4)
                || matches!(prefix(2), 50..=69)
                || matches!(prefix(4), 2221..=2720 | 3528..=3589)
        }
        _ => false,
    };
    issued && has_check_digit(digits)
}

/// Luhn's formula.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
