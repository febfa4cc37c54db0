//! The first screen: the worst causes, one line each, and one cause as a page.

use super::audit_report::{IF_PUBLIC, Report, accept_statement, accepted_text};
use super::cause::Cause;
use crate::rls::model::{Finding, Severity};
use crate::rls::rules::{documentation, lints};

/// Width of a terminal on which each line of the first screen fits.
const WIDTH: usize = 120;
/// psql's column separators and margins, for six columns.
const SEPARATORS: usize = 3 * 5 + 2;
/// Widest object; the rest of the line is for the summary.
const OBJECT_WIDTH: usize = 30;
/// Width of a page.
const PAGE_WIDTH: usize = 100;

/// A line of the first screen.
pub struct Line {
    /// Place on the screen, from 1. `rls_finding` takes it.
    pub place: usize,
    /// Severity of the cause.
    pub severity: Severity,
    /// Its rule, and how many other rules report the same object.
    pub rule: String,
    /// Number of its objects.
    pub count: usize,
    /// Its first object, or the table of that, cut to fit.
    pub object: String,
    /// The defect, cut to fit.
    pub summary: String,
}

impl Report {
    /// The worst causes without an acceptance, at most so many.
    ///
    /// The verdicts on one policy, such as read-leak and destruction, are one line.
    pub fn worst(&self, limit: usize) -> Vec<Line> {
        let open = self.screen();
        let rows: Vec<&(&Cause, usize)> = open.iter().take(limit).collect();
        let rule = |(cause, more): &(&Cause, usize)| match more {
            0 => cause.finding.rule.to_owned(),
            more => format!("{} +{more}", cause.finding.rule),
        };
        let object = |cause: &Cause| cut(place_of(cause), OBJECT_WIDTH);
        let widest = |texts: Vec<String>, name: &str| {
            texts.iter().map(|text| text.chars().count()).chain([name.len()]).max().unwrap_or(0)
        };
        let rules = widest(rows.iter().map(|row| rule(row)).collect(), "rule");
        let objects = widest(rows.iter().map(|(cause, _)| object(cause)).collect(), "object");
        let fixed = "place".len() + "CRITICAL".len() + "count".len() + SEPARATORS;
        let rest = WIDTH.saturating_sub(fixed + rules + objects);
        let rows = rows.iter().zip(1..);
        rows.map(|(row, place)| Line {
            place,
            severity: row.0.finding.severity,
            rule: rule(row),
            count: row.0.objects.len(),
            object: object(row.0),
            summary: cut(&summary(&row.0.finding), rest),
        })
        .collect()
    }

    /// The open causes, worst first, each with the number of causes that it stands for.
    fn screen(&self) -> Vec<(&Cause, usize)> {
        let mut rows: Vec<(&Cause, usize)> = Vec::new();
        let is_shown = |cause: &&Cause| {
            cause.finding.severity < Severity::Info
                || ["inconclusive", "no-clients", "public-read"].contains(&cause.finding.rule)
        };
        for cause in self.open().filter(is_shown) {
            let same = rows.iter_mut().find(|(other, _)| {
                cause.parts.len() == 1
                    && other.parts.len() == 1
                    && other.finding.object == cause.finding.object
                    && cause.finding.relation.is_some()
            });
            match same {
                Some((_, more)) => *more += 1,
                None => rows.push((cause, 0)),
            }
        }
        rows
    }

    /// How many causes the first screen would list without a limit.
    pub fn shown(&self) -> usize {
        self.screen().len()
    }

    /// The causes with this name, or at this place of the first screen.
    pub fn causes_called(&self, name: &str) -> Vec<&Cause> {
        let named = self.causes_named(name);
        if !named.is_empty() {
            return named;
        }
        let part = self.findings.iter().position(|finding| finding.key() == name);
        if let Some(part) = part {
            return self.causes.iter().filter(|cause| cause.parts.contains(&part)).collect();
        }
        let place = name.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
        let screen = self.screen();
        let Some((first, _)) = place.and_then(|place| screen.get(place)) else {
            return Vec::new();
        };
        let is_same = |cause: &&Cause| {
            cause.key == first.key
                || first.parts.len() == 1
                    && cause.parts.len() == 1
                    && first.finding.relation.is_some()
                    && cause.finding.object == first.finding.object
        };
        self.open().filter(is_same).collect()
    }

    /// The whole text of a cause.
    pub fn page(&self, cause: &Cause) -> String {
        let finding = &cause.finding;
        let acceptance = self.acceptance_of_cause(cause);
        let mut text = format!(
            "{} {} {}\n",
            finding.severity.as_str(),
            finding.confidence.as_str(),
            finding.rule
        );
        for object in &cause.objects {
            text += &format!("  {object}\n");
        }
        let (prose, if_public) =
            finding.detail.split_once(IF_PUBLIC).unwrap_or((&finding.detail, ""));
        text += &format!("\n{}", wrapped(prose, ""));
        if let Some(acceptance) = acceptance {
            text += &wrapped(&accepted_text(acceptance), "");
        }
        text += "\nEvidence\n";
        for part in &cause.parts {
            let part = &self.findings[*part];
            let evidence = match cause.parts.len() {
                1 => part.evidence.clone(),
                _ => format!("{}: {}", part.object, part.evidence),
            };
            text += &wrapped(&evidence, "  ");
        }
        let key = cause.key.replace('\'', "''");
        match &finding.remediation {
            Some(remediation) => {
                text += "\nRemediation\n";
                text += &remediation.lines().map(|line| format!("  {line}\n")).collect::<String>();
                text += &format!(
                    "\nTry it and roll it back\n  SELECT crewsnow_ops.prove_remediation('{key}');\n"
                );
            }
            None => text += "\nRemediation\n  None: a person has to decide.\n",
        }
        match (acceptance, if_public) {
            (Some(_), _) => {}
            (None, "") => {
                text += &format!("\nIf it is intended\n  {}\n", accept_statement(&cause.key));
            }
            (None, statement) => {
                text += &format!("\nIf its content is meant to be public\n  {statement}\n");
            }
        }
        text += &format!("\nRule\n  {}\n", documentation(finding.rule));
        if !cause.cache_keys.is_empty() {
            text += "\nSupabase's linter\n";
            for key in &cause.cache_keys {
                text += &format!("  {} {key}\n", lints::lint_of(key).unwrap_or_default());
            }
        }
        text
    }
}

/// The table of the first object, if its name ends with one, else the object.
fn place_of(cause: &Cause) -> &str {
    let object = cause.objects.first().map_or("", |name| name);
    let table = ["policy ", "trigger ", "unique ", "foreign ", "constraint "]
        .iter()
        .any(|kind| object.starts_with(kind))
        .then(|| object.rsplit_once(" on "))
        .flatten();
    table.map_or_else(|| object.strip_prefix("table ").unwrap_or(object), |(_, table)| table)
}

/// The defect in a few words. The object stands beside it.
fn summary(finding: &Finding) -> String {
    let detail = finding.detail.split(IF_PUBLIC).next().unwrap_or_default();
    let detail = detail.lines().next().unwrap_or_default();
    let detail = match detail.strip_prefix("On ").and_then(|rest| rest.split_once(' ')) {
        Some((_, rest)) => rest,
        None => detail,
    };
    let (detail, _) = detail.split_once(": policy ").unwrap_or((detail, ""));
    let (detail, _) = detail.split_once(": policies ").unwrap_or((detail, ""));
    detail
        .replace("anyone, without signing in,", "anyone")
        .replace("rows of other users", "foreign rows")
}

/// The text cut to so many characters, with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The text in lines of a page. A word that is longer than a line stays whole.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = indent.to_owned();
        for word in paragraph.split(' ') {
            let is_full = line.chars().count() + word.chars().count() + 1 > PAGE_WIDTH;
            if is_full && line.len() > indent.len() {
                lines += &format!("{}\n", line.trim_end());
                line = indent.to_owned();
            }
            line += word;
            line += " ";
        }
        lines += &format!("{}\n", line.trim_end());
    }
    lines
}

/// The lines as text, aligned.
pub fn lines(rows: &[Line]) -> String {
    let widest = |text: fn(&Line) -> &str| {
        rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0)
    };
    let (rules, objects) = (widest(|row| &row.rule), widest(|row| &row.object));
    rows.iter()
        .map(|row| {
            format!(
                "{:>3} {:8} {:rules$} {:>3} {:objects$} {}\n",
                row.place,
                row.severity.as_str(),
                row.rule,
                row.count,
                row.object,
                row.summary
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_with_an_ellipsis() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("a longer text", 9), "a longer…");
        assert_eq!(cut("é€ü", 2), "é…");
    }

    #[test]
    fn a_summary_leaves_out_what_stands_beside_it() {
        let finding = Finding {
            rule: "read-leak",
            severity: Severity::Critical,
            confidence: crate::rls::model::Confidence::Proved,
            object: "policy \"p\" on public.rides".to_owned(),
            relation: None,
            policy: None,
            detail: "On public.rides anyone, without signing in, can read rows of other users: \
                     policy \"p\" allows it."
                .to_owned(),
            evidence: String::new(),
            remediation: None,
            cache_key: None,
        };
        assert_eq!(summary(&finding), "anyone can read foreign rows");
    }

    #[test]
    fn a_page_wraps_at_its_width_and_keeps_long_words_whole() {
        let text = format!("{} {}", "word ".repeat(30), "x".repeat(150));
        let page = wrapped(&text, "  ");
        assert!(page.lines().all(|line| line.starts_with("  ")));
        assert!(page.lines().filter(|line| line.chars().count() > PAGE_WIDTH).count() == 1);
        assert_eq!(page.matches("word").count(), 30);
    }
}
