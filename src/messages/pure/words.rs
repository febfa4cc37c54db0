//! Numbers, times and words that people read, in each language.

use super::message::{Language, Severity};
use crate::time::instant::Instant;
use crate::time::minute::{DAY, HOUR, MINUTE};

const SECOND: i64 = 1_000_000;

/// A number with about four significant digits, such as `6.25`, `1,234,567` or `2.5e-7`.
#[must_use]
pub fn number(value: f64, language: Language) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        let word = match language {
            Language::En => "infinity",
            Language::Fr => "l’infini",
        };
        return if value > 0.0 { word.to_owned() } else { format!("−{word}") };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&size) {
        return localized(&format!("{value:.2e}"), language);
    }
    let decimals = match size {
        size if size >= 1_000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 1.0 => 3,
        size if size >= 0.01 => 4,
        _ => 6,
    };
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    localized(text, language)
}

/// Two numbers in the same way; with all their digits where they would read the same.
#[must_use]
pub fn numbers(a: f64, b: f64, language: Language) -> (String, String) {
    let short = (number(a, language), number(b, language));
    if short.0 == short.1 && a != b {
        return (localized(&a.to_string(), language), localized(&b.to_string(), language));
    }
    short
}

/// Groups the digits of the integral part, and writes the decimal mark of the language.
fn localized(text: &str, language: Language) -> String {
    let (mark, separator) = match language {
        Language::En => ('.', ','),
        Language::Fr => (',', '\u{202f}'),
    };
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (integral, rest) = text.split_at(end);
    let mut out = sign.to_owned();
    for (index, digit) in integral.chars().enumerate() {
        if index > 0 && (end - index).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out.extend(rest.chars().map(|c| if c == '.' { mark } else { c }));
    out
}

/// A count with its digits in groups.
#[must_use]
pub fn count(value: usize, language: Language) -> String {
    localized(&value.to_string(), language)
}

/// A duration in microseconds in its two largest units, such as `2 h 5 min`. Rounded down.
#[must_use]
pub fn duration(microseconds: i64, language: Language) -> String {
    let day = match language {
        Language::En => "d",
        Language::Fr => "j",
    };
    let of = |unit: i64, name: &str, smaller: i64, below: &str| {
        let (large, rest) = (microseconds / unit, microseconds % unit / smaller);
        if rest == 0 { format!("{large} {name}") } else { format!("{large} {name} {rest} {below}") }
    };
    match microseconds {
        DAY.. => of(DAY, day, HOUR, "h"),
        HOUR.. => of(HOUR, "h", MINUTE, "min"),
        // The seconds of a quarter of an hour are noise.
        MINUTE.. => format!("{} min", microseconds / MINUTE),
        _ => format!("{} s", microseconds.max(0) / SECOND),
    }
}

/// The minute of a time with its date, such as `2026-11-28 02:14 UTC`.
#[must_use]
pub fn date(time: i64) -> String {
    let text = Instant(time).to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", clock.get(..5).unwrap_or(clock))
}

/// The minute of a time; without the date on the day of `now`.
#[must_use]
pub fn time(time: i64, now: i64) -> String {
    let text = date(time);
    match text.split_once(' ') {
        Some((_, clock)) if time.div_euclid(DAY) == now.div_euclid(DAY) => clock.to_owned(),
        _ => text,
    }
}

/// The word of a severity.
#[must_use]
pub fn severity(severity: Severity, language: Language) -> &'static str {
    match (language, severity) {
        (Language::En, Severity::Info) => "info",
        (Language::En, Severity::Warning) => "warning",
        (Language::En, Severity::Critical) => "critical",
        (Language::Fr, Severity::Info) => "information",
        (Language::Fr, Severity::Warning) => "avertissement",
        (Language::Fr, Severity::Critical) => "critique",
    }
}

/// The text with its first letter as a capital.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::NOW;
    use super::*;
    use Language::{En, Fr};
    use proptest::prelude::*;

    #[test]
    fn numbers_read_well() {
        for (value, english, french) in [
            (0.0, "0", "0"),
            (5.0, "5", "5"),
            (6.25, "6.25", "6,25"),
            (0.053_21, "0.0532", "0,0532"),
            (0.000_5, "0.0005", "0,0005"),
            (99.94, "99.94", "99,94"),
            (-1_234_567.8, "−1,234,568", "−1\u{202f}234\u{202f}568"),
            (1e20, "1.00e20", "1,00e20"),
            (2.5e-7, "2.50e-7", "2,50e-7"),
            (f64::NEG_INFINITY, "−infinity", "−l’infini"),
        ] {
            assert_eq!(number(value, En), english);
            assert_eq!(number(value, Fr), french);
        }
        assert_eq!(numbers(5.000_01, 5.0, En), ("5.00001".into(), "5".into()));
    }

    #[test]
    fn times_and_durations_read_well() {
        assert_eq!(date(NOW), "2026-11-28 02:26 UTC");
        assert_eq!(time(NOW - 12 * MINUTE, NOW), "02:14 UTC");
        assert_eq!(time(NOW - DAY, NOW), "2026-11-27 02:26 UTC");
        for (length, english, french) in [
            (-1, "0 s", "0 s"),
            (42 * SECOND, "42 s", "42 s"),
            (12 * MINUTE + SECOND, "12 min", "12 min"),
            (2 * HOUR, "2 h", "2 h"),
            (2 * HOUR + 5 * MINUTE, "2 h 5 min", "2 h 5 min"),
            (3 * DAY + 4 * HOUR, "3 d 4 h", "3 j 4 h"),
        ] {
            assert_eq!(duration(length, En), english);
            assert_eq!(duration(length, Fr), french);
        }
    }

    proptest! {
        #[test]
        fn each_word_is_short(value in any::<f64>(), length in any::<i64>(), now in any::<i64>()) {
            for language in [En, Fr] {
                prop_assert!(number(value, language).chars().count() < 26);
                prop_assert!(duration(length, language).len() < 30);
            }
            prop_assert!(time(length, now).len() < 30);
            prop_assert!(date(length).len() < 30);
        }

        #[test]
        fn a_number_keeps_its_first_digits(value in -1e14..1e14_f64) {
            let text = number(value, En).replace(',', "").replace('−', "-");
            let read: f64 = text.parse().expect("a number");
            prop_assert!((read - value).abs() <= value.abs() / 900.0 + 1e-3, "{}", text);
        }
    }
}
