//! The parts of a mail. The client that sends it encodes them.

use super::cut::{digest, one_line};
use super::message::{Fault, Kind, Language, Message, is_valid_id};
use super::text::{self, Text};
use crate::time::instant::Instant;
use crate::time::minute::DAY;

/// In UTF-16 units.
const MAX_SUBJECT: usize = 200;
/// The domain of a Message-ID has at most this number of bytes.
const MAX_DOMAIN: usize = 200;
/// The domain for a sender without one. It never resolves.
const NO_DOMAIN: &str = "crewsnow-ops.invalid";

/// The place of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The domain of the sender's address.
    pub domain: &'a str,
    /// The key of the thread, such as the channel, the group and the time when it began to fire.
    /// `None` for a mail that stands alone.
    pub thread: Option<&'a str>,
}

/// A mail in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Header `Subject`: one line, not yet encoded.
    pub subject: String,
    /// The text, with `\n` at the ends of lines.
    pub body: String,
    /// Header `Message-ID`, the same on each retry.
    pub message_id: String,
    /// Headers `In-Reply-To` and `References`: the root of the thread, which no mail has itself.
    pub in_reply_to: Option<String>,
    /// Header `Date`: the time when the message was made.
    pub date: String,
    /// Header `Auto-Submitted`: no machine answers such a mail.
    pub auto_submitted: &'static str,
}

/// The mail for a message.
///
/// # Errors
///
/// [`Fault::Id`].
pub fn render(message: &Message, language: Language, envelope: Envelope) -> Result<Mail, Fault> {
    if !is_valid_id(&message.id) {
        return Err(Fault::Id);
    }
    let Text { title, body } = text::text(message, language);
    let source = one_line(&message.source, 40);
    // A reader of many databases finds the database in the subject of each alert.
    let subject = if message.kind == Kind::Application || title.contains(&source) {
        title
    } else {
        format!("[{source}] {title}")
    };
    let mut subject = one_line(&subject, MAX_SUBJECT);
    if subject.is_empty() {
        subject.push_str("crewsnow_ops");
    }
    let domain = domain(envelope.domain);
    // The local part of an address has at most 64 characters.
    let local = if message.id.len() <= 60 { message.id.clone() } else { digest(&[&message.id]) };
    let root = envelope.thread.map(|key| format!("<thread-{}@{domain}>", digest(&[key])));
    Ok(Mail {
        subject,
        body,
        message_id: format!("<{local}@{domain}>"),
        in_reply_to: root,
        date: date(message.created_at),
        auto_submitted: "auto-generated",
    })
}

/// A domain of letters, digits, hyphens and dots; another text could end the header.
fn domain(text: &str) -> &str {
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let fits = text.len() <= MAX_DOMAIN && text.split('.').all(is_label);
    if fits { text } else { NO_DOMAIN }
}

/// A time as mails write it, such as `Sat, 28 Nov 2026 02:26:40 +0000`.
fn date(time: i64) -> String {
    // Mails know years of four digits alone; times beyond are an accident.
    let time = time.clamp(-100 * 365 * DAY, 7_900 * 365 * DAY);
    let text = Instant(time).to_string();
    // 2000-01-01 was a Saturday.
    let weekday = match time.div_euclid(DAY).rem_euclid(7) {
        0 => "Sat",
        1 => "Sun",
        2 => "Mon",
        3 => "Tue",
        4 => "Wed",
        5 => "Thu",
        _ => "Fri",
    };
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = match part(5, 7) {
        "01" => "Jan",
        "02" => "Feb",
        "03" => "Mar",
        "04" => "Apr",
        "05" => "May",
        "06" => "Jun",
        "07" => "Jul",
        "08" => "Aug",
        "09" => "Sep",
        "10" => "Oct",
        "11" => "Nov",
        _ => "Dec",
    };
    format!("{weekday}, {} {month} {} {} +0000", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::units;
    use super::super::message::Reason;
    use super::super::message::tests::{alert, any_message, application, huge, notice};
    use super::*;
    use proptest::prelude::*;

    fn mail(message: &Message, thread: Option<&str>) -> Mail {
        let envelope = Envelope { domain: "ops.example", thread };
        render(message, Language::En, envelope).expect("a mail")
    }

    #[test]
    fn mails_of_a_group_form_a_thread() {
        let first = notice(Reason::Firing, vec![alert("p95", "/pay")]);
        let last = Message { id: "2".into(), reason: Some(Reason::Resolved), ..first.clone() };
        let (first, last) = (mail(&first, Some("payments 7")), mail(&last, Some("payments 7")));
        assert_eq!(first.subject, "Critical: p95 /pay (payments on shop)");
        assert_eq!(first.message_id, "<0190a1b2-c3d4@ops.example>");
        assert_eq!(first.date, "Sat, 28 Nov 2026 02:26:40 +0000");
        assert_eq!(first.auto_submitted, "auto-generated");
        assert!(first.in_reply_to.is_some() && first.in_reply_to == last.in_reply_to);
        let down = Some("Checkout is down".to_owned());
        let down = Message { title: down, ..notice(Reason::Firing, vec![]) };
        assert_eq!(mail(&down, None).subject, "[shop] Checkout is down");
        let own = application(serde_json::json!({"title": "Order\r\nBcc: all@example.com"}));
        let own = mail(&own, None);
        assert_eq!(own.subject, "Order Bcc: all@example.com");
        assert_eq!(own.in_reply_to, None);
    }

    #[test]
    fn no_text_ends_a_header() {
        let message = notice(Reason::Firing, vec![]);
        for bad in ["", "a b", "a\r\nBcc: x", "a..b", "é.example", "a>b"] {
            let envelope = Envelope { domain: bad, thread: Some("a\r\nb") };
            let mail = render(&message, Language::En, envelope).expect("a mail");
            assert_eq!(mail.message_id, "<0190a1b2-c3d4@crewsnow-ops.invalid>");
            assert!(mail.in_reply_to.is_some_and(|root| !root.contains(['\r', '\n', ' '])));
        }
        let envelope = Envelope { domain: "a", thread: None };
        let bad = Message { id: "1@x>\r\n".into(), ..message };
        assert_eq!(render(&bad, Language::En, envelope), Err(Fault::Id));
    }

    #[test]
    fn dates_read_as_mails_need_them() {
        assert_eq!(date(0), "Sat, 01 Jan 2000 00:00:00 +0000");
        assert_eq!(date(-1), "Fri, 31 Dec 1999 23:59:59 +0000");
        assert_eq!(date(59 * DAY), "Tue, 29 Feb 2000 00:00:00 +0000");
    }

    #[test]
    fn ten_megabytes_become_a_short_mail() {
        for kind in [Kind::Alert, Kind::Application, Kind::Test] {
            let mail = mail(&huge(kind, "👩‍👧\r\n"), None);
            assert!(units(&mail.subject) <= MAX_SUBJECT && units(&mail.body) <= text::MAX_TEXT);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_mail_keeps_its_limits(message in any_message(), thread in ".{0,40}") {
            let message = Message { id: "7".into(), ..message };
            let mail = mail(&message, Some(&thread));
            prop_assert!((1..=MAX_SUBJECT).contains(&units(&mail.subject)));
            let headers = [&mail.subject, &mail.message_id, &mail.date];
            prop_assert!(headers.iter().all(|text| !text.chars().any(char::is_control)));
            prop_assert_eq!(mail.date.len(), 31);
            prop_assert!(httpdate::parse_http_date(&mail.date.replace("+0000", "GMT")).is_ok()
                || message.created_at < -30 * 365 * DAY || message.created_at > 7_000 * 365 * DAY);
        }
    }
}
