//! The body of a Slack incoming webhook.

use super::cut::{Form, cut, one_line};
use super::message::{Fault, Language, Message};
use super::text::{self, Text};
use serde_json::{Value, json};

/// In UTF-16 units.
const MAX_HEADER: usize = 150;
/// In UTF-16 units, after the escapes.
const MAX_SECTION: usize = 3_000;
/// Sections of a message.
const MAX_SECTIONS: usize = 10;
/// The header, the sections and the plain text together, in UTF-16 units.
const MAX_ALL: usize = 8_000;
/// The plain text of notifications, in UTF-16 units.
const MAX_PLAIN: usize = 600;

/// The body for Slack. `text` is for notifications and screen readers, and names the group: a
/// duplicate, which no key can prevent here, is then seen as one.
///
/// # Errors
///
/// None today; the signature is as for the other services.
pub fn render(message: &Message, language: Language) -> Result<Value, Fault> {
    let Text { title, body } = text::text(message, language);
    let group = one_line(&message.group, 100);
    let plain = if title.contains(&group) { title.clone() } else { format!("{title} [{group}]") };
    let plain = cut(&plain, MAX_PLAIN, Form::Slack);
    let header = cut(&title, MAX_HEADER, Form::Plain);
    // Slack refuses an empty header and an empty section.
    let mut blocks = Vec::new();
    if !header.is_empty() {
        blocks.push(json!({
            "type": "header",
            "text": {"type": "plain_text", "text": header, "emoji": false},
        }));
    }
    let mut left = MAX_ALL - MAX_PLAIN - MAX_HEADER;
    for section in sections(&body, &mut left) {
        blocks.push(json!({
            "type": "section",
            // Slack makes no link and no mention of names that look like one.
            "text": {"type": "mrkdwn", "text": section, "verbatim": true},
        }));
    }
    let plain = if plain.is_empty() { "crewsnow_ops".to_owned() } else { plain };
    Ok(json!({"text": plain, "blocks": blocks}))
}

/// The text in sections that end at the end of a line where they can. `left` is the number of
/// units that the message has left.
fn sections(body: &str, left: &mut usize) -> Vec<String> {
    let mut sections = Vec::new();
    let mut rest = body.trim();
    while !rest.is_empty() && *left > 0 && sections.len() < MAX_SECTIONS {
        let max = MAX_SECTION.min(*left);
        let is_last = *left <= MAX_SECTION || sections.len() + 1 == MAX_SECTIONS;
        let end = if is_last { rest.len() } else { fitting(rest, max) };
        let (part, following) = rest.split_at(end);
        let section = cut(part.trim(), max, Form::Slack);
        *left -= section.encode_utf16().count().min(*left);
        rest = following.trim_start();
        if !section.is_empty() {
            sections.push(section);
        }
    }
    sections
}

/// The number of bytes that fit a section: whole lines, or as many characters as possible.
fn fitting(text: &str, max: usize) -> usize {
    let (mut used, mut line) = (0, 0);
    for (at, c) in text.char_indices() {
        used += match c {
            '&' => 5,
            '<' | '>' => 4,
            c => c.len_utf16(),
        };
        if used > max {
            return if line > 0 { line } else { at };
        }
        if c == '\n' {
            line = at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::units;
    use super::super::message::Reason;
    use super::super::message::tests::{alert, any_message, application, notice};
    use super::*;
    use proptest::prelude::*;

    fn texts(body: &Value) -> Vec<&str> {
        let blocks = body["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
        blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect()
    }

    #[test]
    fn the_text_names_the_group_and_is_escaped() {
        let mut message = notice(Reason::Firing, vec![alert("p95", "<!channel> & co")]);
        let body = render(&message, Language::En).expect("a body");
        assert_eq!(body["text"], "Critical: p95 &lt;!channel&gt; &amp; co (payments on shop)");
        assert_eq!(texts(&body)[0], "Critical: p95 <!channel> & co (payments on shop)");
        assert!(texts(&body)[1].contains("p95 &lt;!channel&gt; &amp; co is 6.25"), "{body}");
        message.title = Some("Down".into());
        let body = render(&message, Language::En).expect("a body");
        assert_eq!(body["text"], "Down [payments]");
    }

    #[test]
    fn a_long_text_keeps_its_lines_and_is_cut_in_the_end() {
        let lines = (0..900).map(|i| format!("line {i} <&>\n")).collect::<String>();
        let message = application(serde_json::json!({"text": lines}));
        let body = render(&message, Language::En).expect("a body");
        let texts = texts(&body);
        assert_eq!(texts.len(), 4);
        assert!(texts[1].ends_with("&lt;&amp;&gt;") && texts[2].starts_with("line "));
        assert!(texts[3].ends_with('…'));
    }

    #[test]
    fn ten_megabytes_become_a_short_body() {
        use super::super::message::Kind;
        for kind in [Kind::Alert, Kind::Application] {
            for piece in ["<&>", "👩‍👧\r\n", "x"] {
                let message = super::super::message::tests::huge(kind, piece);
                let body = render(&message, Language::En).expect("a body");
                assert!(texts(&body).iter().map(|text| units(text)).sum::<usize>() <= MAX_ALL);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn each_body_keeps_the_limits(message in any_message()) {
            let body = render(&message, Language::Fr).expect("a body");
            let text = body["text"].as_str().unwrap_or_default();
            prop_assert!(!text.is_empty() && units(text) <= MAX_PLAIN);
            let blocks = body["blocks"].as_array().expect("blocks");
            let of = |kind: &str| blocks.iter().filter(|block| block["type"] == kind).count();
            prop_assert!(of("header") <= 1 && of("section") <= MAX_SECTIONS);
            let mut all = units(text);
            for block in blocks {
                let text = block["text"]["text"].as_str().unwrap_or_default();
                let is_header = block["type"] == "header";
                let max = if is_header { MAX_HEADER } else { MAX_SECTION };
                prop_assert!(!text.trim().is_empty() && units(text) <= max, "{}", text);
                if !is_header {
                    let bare = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
                    prop_assert!(!bare.contains(['&', '<', '>']), "{}", bare);
                }
                all += units(text);
            }
            prop_assert!(all <= MAX_ALL, "{}", all);
        }
    }
}
