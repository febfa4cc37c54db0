//! Corrections of values that an event cannot hold. Pure.
//!
//! An error in a monitoring call would end the caller's transaction, and with it a payment or a
//! sign-up. So a bad value is replaced, and the event says what was given instead.

use std::borrow::Cow;

/// The longest event type and function name, in bytes.
pub const MAX_NAME: usize = 200;
/// The key of the payload that holds the corrected values as they were given.
pub const KEY: &str = "crewsnow_ops_corrected";
/// The event type that replaces a missing one.
pub const NO_TYPE: &str = "(none)";
/// The function name that replaces a missing one in a call.
pub const UNKNOWN_FUNCTION: &str = "(unknown)";
/// As many characters of a given value are kept.
const MAX_GIVEN: usize = 100;

/// The values of one event that were replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Corrections(Vec<(&'static str, Option<String>)>);

impl Corrections {
    /// Notes the value that a field was given; `None` is NULL.
    pub fn note(&mut self, field: &'static str, given: Option<&str>) {
        self.0.push((field, given.map(|given| given.chars().take(MAX_GIVEN).collect())));
    }

    /// Whether nothing was corrected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A JSON object with the one key [`KEY`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let fields = self.0.iter().map(|(field, given)| {
            (field.to_string(), given.clone().map_or(serde_json::Value::Null, Into::into))
        });
        let fields = serde_json::Value::Object(fields.collect());
        serde_json::Value::Object([(KEY.to_owned(), fields)].into_iter().collect()).to_string()
    }

    /// A name of 1 to [`MAX_NAME`] bytes: a longer one is cut, a missing one replaced.
    pub fn name<'a>(
        &mut self,
        field: &'static str,
        given: Option<&'a str>,
        missing: &'static str,
    ) -> Cow<'a, str> {
        match given {
            Some(name) if (1..=MAX_NAME).contains(&name.len()) => Cow::Borrowed(name),
            Some(name) if !name.is_empty() => {
                self.note(field, given);
                Cow::Borrowed(cut(name, MAX_NAME))
            }
            _ => {
                self.note(field, given);
                Cow::Borrowed(missing)
            }
        }
    }

    /// A status code from 100 to 599; `None` for any other number and for NULL.
    pub fn status(&mut self, given: Option<f64>) -> Option<u16> {
        match given {
            Some(code) if (100.0..=599.0).contains(&code) && code.fract() == 0.0 => {
                Some(code as u16)
            }
            _ => {
                self.note("status_code", given.map(|code| code.to_string()).as_deref());
                None
            }
        }
    }
}

/// The longest beginning of a text that has at most `limit` bytes and splits no character.
#[must_use]
pub fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_values_pass_and_leave_no_mark() {
        let mut corrections = Corrections::default();
        assert_eq!(corrections.name("event_type", Some("login"), NO_TYPE), "login");
        assert_eq!(corrections.name("event_type", Some(&"é".repeat(100)), NO_TYPE).len(), 200);
        for code in [100.0, 204.0, 599.0] {
            assert_eq!(corrections.status(Some(code)), Some(code as u16));
        }
        assert!(corrections.is_empty());
    }

    #[test]
    fn bad_values_are_replaced_and_told() {
        let mut corrections = Corrections::default();
        assert_eq!(corrections.name("event_type", None, NO_TYPE), NO_TYPE);
        assert_eq!(corrections.name("function_name", Some(""), UNKNOWN_FUNCTION), "(unknown)");
        for code in [Some(0.0), Some(99.0), Some(600.0), Some(200.5), Some(f64::NAN), None] {
            assert_eq!(Corrections::default().status(code), None, "{code:?}");
        }
        assert_eq!(corrections.status(Some(0.0)), None);
        assert_eq!(
            corrections.to_json(),
            "{\"crewsnow_ops_corrected\":{\"event_type\":null,\"function_name\":\"\",\
             \"status_code\":\"0\"}}"
        );
    }

    proptest! {
        #[test]
        fn a_name_is_never_empty_nor_too_long(given in prop::option::of(".{0,300}")) {
            let mut corrections = Corrections::default();
            let name = corrections.name("event_type", given.as_deref(), NO_TYPE);
            prop_assert!((1..=MAX_NAME).contains(&name.len()));
            let is_kept = given.as_deref() == Some(&*name);
            prop_assert_eq!(is_kept, corrections.is_empty());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&corrections.to_json()).is_ok());
        }
    }
}
