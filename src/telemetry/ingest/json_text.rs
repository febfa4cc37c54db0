//! JSON texts that jsonb refuses, and their repair. Pure.
//!
//! jsonb holds no NUL character and no half of a surrogate pair, but JSON texts can escape both.

use std::borrow::Cow;

/// A longer text, or a number with more digits in its exponent, may exceed a limit of numeric.
const HARMLESS_LENGTH: usize = 16_000;
const HARMLESS_EXPONENT: usize = 3;
/// With fewer brackets a text cannot be too deep for the stack.
const HARMLESS_DEPTH: usize = 128;

/// The escape sequence that replaces another: U+FFFD, the replacement character.
const REPLACEMENT: &str = "\\ufffd";

/// The text with each escaped NUL and each unpaired surrogate replaced by U+FFFD.
#[must_use]
pub fn repaired(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let unit = |at: usize| {
        let digits = text.get(at + 2..at + 6).filter(|_| bytes[at..].starts_with(b"\\u"))?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut repaired = String::with_capacity(text.len());
    let (mut at, mut kept, mut is_changed) = (0, 0, false);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        // A backslash escapes the next byte, so "\\u0000" with two of them is plain text.
        let length = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0 | 0xd800..=0xdfff) => {
                repaired.push_str(&text[kept..at]);
                repaired.push_str(REPLACEMENT);
                (kept, is_changed) = (at + 6, true);
                6
            }
            Some(_) => 6,
            None => 2,
        };
        at += length;
    }
    if !is_changed {
        return Cow::Borrowed(text);
    }
    repaired.push_str(&text[kept..]);
    Cow::Owned(repaired)
}

/// Whether jsonb surely accepts the text: JSON without escaped code units, of limited size, depth
/// and exponents. A false answer proves nothing.
#[must_use]
pub fn is_harmless(text: &str) -> bool {
    text.len() <= HARMLESS_LENGTH
        && has_harmless_parts(text.as_bytes())
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// One pass, because each event pays for it.
fn has_harmless_parts(text: &[u8]) -> bool {
    let mut opened = 0;
    let mut previous = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'[' | b'{' => opened += 1,
            b'u' if previous == b'\\' => return false,
            b'e' | b'E' if previous.is_ascii_digit() && is_large(&text[at + 1..]) => return false,
            _ => {}
        }
        previous = *byte;
    }
    opened <= HARMLESS_DEPTH
}

/// Whether an exponent, with a sign or not, has more than [`HARMLESS_EXPONENT`] digits.
fn is_large(exponent: &[u8]) -> bool {
    let signless = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+"));
    let digits = signless.unwrap_or(exponent).iter().take_while(|byte| byte.is_ascii_digit());
    digits.take(HARMLESS_EXPONENT + 1).count() > HARMLESS_EXPONENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escaped_nuls_and_half_pairs_are_replaced() {
        for (text, expected) in [
            (r#"{"a": "x\u0000y"}"#, r#"{"a": "x\ufffdy"}"#),
            (r#"{"a\u0000": 1}"#, r#"{"a\ufffd": 1}"#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""\u00e9\n""#, r#""\u00e9\n""#),
            (r#""\u00"#, r#""\u00"#),
            ("\\u00é0", "\\u00é0"),
            ("", ""),
        ] {
            assert_eq!(repaired(text), expected, "{text}");
        }
    }

    #[test]
    fn doubtful_texts_are_not_harmless() {
        for text in ["{}", r#"{"a": [1.5e10, "é", null]}"#, "1e-999", r#""\n""#] {
            assert!(is_harmless(text), "{text}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["", "{", "plain", r#""\u0041""#, "1e1000", "1E+20000", "1e-2000", &deep] {
            assert!(!is_harmless(text), "{text}");
        }
        assert!(!is_harmless(&"1".repeat(HARMLESS_LENGTH + 1)));
    }

    proptest! {
        #[test]
        fn a_repaired_text_has_nothing_left_to_repair(text in r#"[\\ud0380eabf"é]{0,40}"#) {
            let once = repaired(&text).into_owned();
            let twice = repaired(&once).into_owned();
            prop_assert_eq!(twice, once);
        }

        #[test]
        fn a_repair_keeps_json_valid(text in "(\\PC|\u{0}|\u{1f600}){0,20}") {
            let json = serde_json::Value::from(text.clone()).to_string();
            let repaired: serde_json::Value =
                serde_json::from_str(&repaired(&json)).expect("still JSON");
            prop_assert_eq!(repaired, text.replace('\u{0}', "\u{fffd}"));
        }
    }
}
