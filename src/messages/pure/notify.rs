//! The payload of NOTIFY, which holds at most 7,999 bytes.

use super::message::{Fault, Language, Message};
use super::payload;

/// In bytes.
pub const MAX_BYTES: usize = 7_999;

/// The message as compact JSON for listeners.
///
/// # Errors
///
/// [`Fault::TooLarge`] for the payload of an application, [`Fault::Id`].
pub fn render(message: &Message, language: Language) -> Result<String, Fault> {
    payload::object(message, language, MAX_BYTES).map(|object| object.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{alert, any_message, notice};
    use super::super::message::{Kind, Reason, is_valid_id};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_listener_reads_the_alert() {
        let message = notice(Reason::Firing, vec![alert("p95", "/pay")]);
        let text = render(&message, Language::En).expect("a payload");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["title"], "Critical: p95 /pay (payments on shop)");
        assert_eq!(read["alerts"][0]["value"], 6.25);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_payload_keeps_its_limit(message in any_message()) {
            match render(&message, Language::En) {
                Ok(text) => {
                    prop_assert!(text.len() <= MAX_BYTES);
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
                    prop_assert!(!text.contains('\0'));
                }
                Err(_) => {
                    prop_assert!(!is_valid_id(&message.id) || message.kind == Kind::Application);
                }
            }
        }
    }
}
