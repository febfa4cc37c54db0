//! iCalendar (RFC 5545) of single events in UTC. Pure.
//!
//! A weekly window is a list of events, not a rule: the reader's program would apply its own
//! knowledge of DST to a rule.

use crate::time::instant::Instant;

/// One opening of a window. Times are microseconds since 2000-01-01 00:00 UTC.
pub(super) struct Event {
    /// Identity of the event, the same after each change.
    pub(super) uid: String,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) changed_at: i64,
    /// Number of changes of its window.
    pub(super) revision: i32,
    pub(super) is_cancelled: bool,
    pub(super) summary: String,
    pub(super) description: String,
}

/// The octets of a line without its end.
const MAX_OCTETS: usize = 75;

/// The calendar, with CRLF after each line.
pub(super) fn calendar(events: &[Event]) -> String {
    let mut text = String::new();
    let mut line = |content: &str| fold(&mut text, content);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line("PRODID:-//crewsnow_ops//maintenance windows//EN");
    line("METHOD:PUBLISH");
    for event in events {
        line("BEGIN:VEVENT");
        line(&format!("UID:{}@crewsnow_ops", event.uid));
        line(&format!("DTSTAMP:{}", utc(event.changed_at)));
        line(&format!("DTSTART:{}", utc(event.start)));
        line(&format!("DTEND:{}", utc(event.end)));
        line(&format!("SEQUENCE:{}", event.revision));
        line(if event.is_cancelled { "STATUS:CANCELLED" } else { "STATUS:CONFIRMED" });
        line("TRANSP:TRANSPARENT");
        line(&format!("SUMMARY:{}", escaped(&event.summary)));
        line(&format!("DESCRIPTION:{}", escaped(&event.description)));
        line("END:VEVENT");
    }
    line("END:VCALENDAR");
    text
}

/// `20261129T010000Z`. Fractions of a second have no place in the format.
fn utc(time: i64) -> String {
    let text = Instant(time).to_string();
    let digits = text.split('.').next().unwrap_or_default();
    digits.chars().filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect()
}

/// A value of type TEXT. Control characters other than line ends are left out.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.replace("\r\n", "\n").chars() {
        match c {
            '\\' | ';' | ',' => text.extend(['\\', c]),
            '\n' | '\r' => text.push_str("\\n"),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// Appends a content line, folded within characters' bounds.
fn fold(text: &mut String, content: &str) {
    let mut octets = 0;
    for c in content.chars() {
        if octets + c.len_utf8() > MAX_OCTETS {
            text.push_str("\r\n ");
            octets = 1;
        }
        text.push(c);
        octets += c.len_utf8();
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(summary: &str) -> Event {
        Event {
            uid: "7ad0e310-2026W48".to_owned(),
            start: 849_142_800_000_000,
            end: 849_150_000_000_000,
            changed_at: 849_117_600_000_005,
            revision: 3,
            is_cancelled: true,
            summary: summary.to_owned(),
            description: "a, b; c\\d\r\ne".to_owned(),
        }
    }

    #[test]
    fn an_event_has_its_times_in_utc_and_its_state() {
        let text = calendar(&[event("Reprise")]);
        assert_eq!(
            text,
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//crewsnow_ops//maintenance windows//EN\r\n\
             METHOD:PUBLISH\r\nBEGIN:VEVENT\r\nUID:7ad0e310-2026W48@crewsnow_ops\r\n\
             DTSTAMP:20261127T180000Z\r\nDTSTART:20261128T010000Z\r\nDTEND:20261128T030000Z\r\n\
             SEQUENCE:3\r\nSTATUS:CANCELLED\r\nTRANSP:TRANSPARENT\r\nSUMMARY:Reprise\r\n\
             DESCRIPTION:a\\, b\\; c\\\\d\\ne\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
    }

    #[test]
    fn a_summary_adds_no_line_of_its_own() {
        let text = calendar(&[event("x\r\nSTATUS:CONFIRMED\u{7}\u{85}\r")]);
        assert!(!text.contains("\nSTATUS:CONFIRMED"), "{text}");
        assert!(text.contains("SUMMARY:x\\nSTATUS:CONFIRMED\\n\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn lines_are_short_and_unfold_to_the_text(summary in "\\PC{0,200}") {
            let text = calendar(&[event(&summary)]);
            for line in text.trim_end_matches("\r\n").split("\r\n") {
                prop_assert!(line.len() <= MAX_OCTETS && !line.is_empty(), "{}", line);
            }
            let unfolded = text.replace("\r\n ", "");
            let expected = format!("\r\nSUMMARY:{}\r\n", escaped(&summary));
            prop_assert!(unfolded.contains(&expected), "{}", unfolded);
        }
    }
}
