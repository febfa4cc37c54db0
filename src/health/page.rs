//! A finding as a page: one line a row, so that psql shows its command without a mark at the end of
//! the line. Pure.

use super::finding::Finding;

/// Width of a line of prose. The command is never broken.
const WIDTH: usize = 100;

/// Adds `label` and the text, broken into lines at spaces.
fn add(lines: &mut Vec<String>, label: &str, text: &str) {
    let mut line = format!("{label:<10}");
    let indent = line.len();
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() + 1 > WIDTH && line.len() > indent {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        }
        if !line.ends_with(' ') {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
}

/// The lines of a finding, the command last.
#[must_use]
pub fn lines(finding: &Finding) -> Vec<String> {
    let mut lines = vec![format!("{} {}", finding.status.as_str(), finding.metric)];
    let facts = [
        ("object", &finding.object),
        ("value", &finding.current_value),
        ("limit", &finding.threshold),
        ("since", &finding.since),
        ("evidence", &finding.evidence),
        ("advice", &finding.recommendation),
    ];
    for (label, text) in facts {
        if let Some(text) = text {
            add(&mut lines, label, text);
        }
    }
    if let Some(command) = &finding.next_command {
        lines.push("command:".to_owned());
        lines.extend(command.lines().map(str::to_owned));
    }
    lines.push(String::new());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::finding::Status;

    #[test]
    fn a_page_ends_with_the_whole_command() {
        let command = format!("SELECT '{}';", "x y ".repeat(60));
        let finding = Finding {
            status: Status::Critical,
            object: Some("process 4711".to_owned()),
            next_command: Some(command.clone()),
            evidence: Some("a fact ".repeat(40)),
            ..Finding::skipped("Blocked Sessions", String::new())
        };
        let page = lines(&finding);
        assert_eq!(page[0], "CRITICAL Blocked Sessions");
        assert_eq!(page[1], "object    process 4711");
        assert_eq!(page[page.len() - 2], command);
        assert!(page.iter().all(|line| line == &command || line.chars().count() <= WIDTH));
        assert!(page.iter().any(|line| line.starts_with("          a fact")), "{page:#?}");
    }
}
