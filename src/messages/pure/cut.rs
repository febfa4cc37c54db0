//! Texts that fit the limits of services: clean, escaped and cut between two characters.

use sha2::{Digest, Sha256};

/// The mark of a cut text.
const ELLIPSIS: char = '…';

/// How the characters of a text are written and measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are, in UTF-16 units: no service counts a character as more than two.
    Plain,
    /// With the three escapes of Slack, in UTF-16 units.
    Slack,
    /// As they are, in the bytes that they need within a JSON string.
    Json,
}

impl Form {
    /// Writes a character; the answer is its size in units of the form.
    fn write(self, c: char, out: &mut String) -> usize {
        match (self, c) {
            (Self::Slack, '&' | '<' | '>') => {
                let escape = match c {
                    '&' => "&amp;",
                    '<' => "&lt;",
                    _ => "&gt;",
                };
                out.push_str(escape);
                escape.len()
            }
            (Self::Plain | Self::Slack, _) => {
                out.push(c);
                c.len_utf16()
            }
            (Self::Json, _) => {
                out.push(c);
                match c {
                    '"' | '\\' | '\n' | '\r' | '\t' => 2,
                    c if u32::from(c) < 0x20 => 6,
                    c => c.len_utf8(),
                }
            }
        }
    }
}

/// The text in a form, cut with an ellipsis so that its size is at most `max` units. An escape is
/// kept or dropped as a whole. Reads no more of the text than fits.
#[must_use]
pub fn cut(text: &str, max: usize, form: Form) -> String {
    let mut out = String::new();
    let ellipsis = form.write(ELLIPSIS, &mut String::new());
    // The end of the longest part after which the ellipsis still fits.
    let (mut used, mut end) = (0, 0);
    for c in text.chars() {
        if used + ellipsis <= max {
            end = out.len();
        }
        used += form.write(c, &mut out);
        if used > max {
            out.truncate(end);
            out.truncate(out.trim_end().len());
            if ellipsis <= max {
                out.push(ELLIPSIS);
            }
            return out;
        }
    }
    out
}

/// Whether a character is invisible and changes how others are read: control characters, line
/// separators and the marks that turn the direction of a text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        || c == '\u{feff}'
}

/// One line of at most `max` UTF-16 units: each run of blanks and hidden characters is one space.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let blank = |c: char| c.is_whitespace() || is_hidden(c);
    let mut line = String::new();
    // A text of megabytes is not read to its end for a line.
    for word in text.split(blank).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&cut(word, max + 1, Form::Plain));
        if line.len() > 4 * max {
            break;
        }
    }
    cut(&line, max, Form::Plain)
}

/// The text with its line breaks, without other hidden characters, of at most `max` UTF-16 units.
#[must_use]
pub fn paragraph(text: &str, max: usize) -> String {
    let text = cut(text.trim(), max.saturating_mul(2), Form::Plain);
    let text = text.replace("\r\n", "\n");
    let clean: String =
        text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_hidden(*c)).collect();
    cut(clean.trim(), max, Form::Plain)
}

/// The first 32 hexadecimal digits of a SHA-256 over the parts, with their lengths.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// One line of at most `max` UTF-16 units for a key: two texts that differ stay different. `max` is
/// at least 40.
#[must_use]
pub fn key(text: &str, max: usize) -> String {
    let line = one_line(text, max);
    if line == text {
        return line;
    }
    format!("{}#{}", one_line(text, max.saturating_sub(33)), digest(&[text]))
}

#[cfg(test)]
#[allow(missing_docs, reason = "other tests count with this")]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The size that services count.
    pub fn units(text: &str) -> usize {
        text.encode_utf16().count()
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, max, form, expected) in [
            ("abc", 3, Form::Plain, "abc"),
            ("abcd", 3, Form::Plain, "ab…"),
            ("a bcd", 3, Form::Plain, "a…"),
            ("😀😀😀", 5, Form::Plain, "😀😀…"),
            ("abc", 0, Form::Plain, ""),
            ("a<b", 6, Form::Slack, "a&lt;b"),
            ("a<bc", 6, Form::Slack, "a&lt;…"),
            ("a<<", 8, Form::Slack, "a&lt;…"),
            ("\"\"\"", 6, Form::Json, "\"\"\""),
            ("\"\"\"\"", 6, Form::Json, "\"…"),
            ("\u{1}\u{1}", 8, Form::Json, "…"),
        ] {
            assert_eq!(cut(text, max, form), expected, "{text:?} {max}");
        }
    }

    #[test]
    fn hidden_characters_are_dropped() {
        assert_eq!(one_line(" a\r\nb\u{202e}\tc\0 ", 99), "a b c");
        assert_eq!(paragraph("\n a\r\nb\u{202e}\tc\0\u{1b}[31m ", 99), "a\nb\tc[31m");
        assert_eq!(key("a b", 40), "a b");
        assert_ne!(key("a\nb", 40), key("a\rb", 40));
    }

    proptest! {
        #[test]
        fn each_cut_keeps_its_limit(text in ".{0,60}|[<&>\"\\\\\u{1}😀]{0,60}", max in 0..80_usize) {
            let plain = cut(&text, max, Form::Plain);
            prop_assert!(units(&plain) <= max);
            prop_assert_eq!(plain == text, units(&text) <= max);
            prop_assert!(units(&cut(&text, max, Form::Slack)) <= max);
            let json = serde_json::to_string(&cut(&text, max, Form::Json)).expect("a string");
            prop_assert!(json.len() <= max + 2, "{}", json);
            prop_assert!(units(&one_line(&text, max)) <= max);
            prop_assert!(units(&paragraph(&text, max)) <= max);
        }

        #[test]
        fn keys_stay_different(a in "[ab\n]{0,90}", b in "[ab\n]{0,90}") {
            let (short, other) = (key(&a, 60), key(&b, 60));
            prop_assert!(units(&short) <= 60);
            prop_assert_eq!(short == other, a == b);
        }
    }
}
