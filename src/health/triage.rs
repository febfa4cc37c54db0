//! The first view of an incident: a few lines that fit a terminal, each with a command. Pure.

use super::finding::{Finding, Status};
use super::harm;
use super::harm::Harm;

/// Columns of a terminal that psql's aligned output must fit.
const WIDTH: usize = 120;
/// psql's margins and separators, for four columns.
const SEPARATORS: usize = 3 * 3 + 2;
/// Rows at most. With psql's header and footer they fit 14 lines.
const MAX_ROWS: usize = 10;
/// The object keeps so many columns if a command is long.
const OBJECT_WIDTH: usize = 32;
/// All rows of the report.
pub const WHOLE_REPORT: &str = "SELECT * FROM performance_health_check();";

/// A row of the view.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Status of the finding; OK for the row of a server without an incident.
    pub status: &'static str,
    /// Name of the check, and the number of its other findings.
    pub metric: String,
    /// Name of the check alone.
    pub check: String,
    /// Object and value, cut to fit.
    pub object: String,
    /// SQL on one line, never cut.
    pub command: String,
}

/// A row before it is laid out.
struct Row<'a> {
    status: Status,
    metric: &'a str,
    /// Findings of the same check that this row stands for, without the first.
    more: usize,
    object: String,
    command: Option<String>,
}

/// Columns that a terminal gives a text. Characters of Asian scripts and pictures take two.
fn width(text: &str) -> usize {
    let columns = |c: char| match c as u32 {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(columns).sum()
}

/// The text on one line, cut to so many columns. Control characters become `?`: a name must not
/// move the cursor.
fn cut(text: &str, limit: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if width(&line) <= limit {
        return line;
    }
    let mut kept = String::new();
    for character in line.chars() {
        if width(&kept) + width(character.encode_utf8(&mut [0; 4])) >= limit {
            break;
        }
        kept.push(character);
    }
    format!("{}…", kept.trim_end())
}

/// Object, value and evidence of a finding. The object names the guilty, so it comes first.
fn object_of(finding: &Finding) -> String {
    let facts = [&finding.object, &finding.current_value, &finding.evidence];
    facts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(": ")
}

/// The text cut to so many columns. A name is worth more than the kind of its object, which the
/// metric often tells.
fn cut_object(text: &str, limit: usize) -> String {
    const KINDS: [&str; 5] = ["materialized view ", "sequence ", "table ", "index ", "database "];
    let name = KINDS.iter().find_map(|kind| text.strip_prefix(kind));
    match name {
        Some(name) if width(text) > limit => cut(name, limit),
        _ => cut(text, limit),
    }
}

/// A call that prints a finding with its evidence and its command.
fn page_of(metric: &str) -> String {
    format!("SELECT crewsnow_ops.health_finding('{}');", metric.replace('\'', "''"))
}

fn row_of(finding: &Finding) -> Row<'_> {
    Row {
        status: finding.status,
        metric: finding.metric,
        more: 0,
        object: object_of(finding),
        command: finding.next_command.clone(),
    }
}

/// Rows of CRITICAL and WARNING findings. If there are too many, a row for each check.
fn problems(findings: &[Finding]) -> Vec<Row<'_>> {
    let found = findings.iter().filter(|finding| finding.status <= Status::Warning);
    let all: Vec<Row<'_>> = found.map(row_of).collect();
    if all.len() < MAX_ROWS {
        return all;
    }
    let mut by_check: Vec<Row<'_>> = Vec::new();
    for row in all {
        match by_check.iter_mut().find(|other| other.metric == row.metric) {
            Some(first) => first.more += 1,
            None => by_check.push(row),
        }
    }
    by_check
}

/// The check of a server's checksums. Without them it stays SKIPPED until the cluster is rebuilt,
/// so no engineer on call can do anything.
const WITHOUT_CHECKSUMS: &str = "Checksum Failures";

fn is_unseen(finding: &Finding) -> bool {
    finding.status == Status::Skipped
        && !finding.is_inapplicable()
        && finding.metric != WITHOUT_CHECKSUMS
}

/// Rows of checks that could not look: one for each remedy, or for each reason without one.
fn blind(findings: &[Finding]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for finding in findings.iter().filter(|finding| is_unseen(finding)) {
        let reason = finding.evidence.clone().unwrap_or_default();
        let is_same = |row: &&mut Row<'_>| match &finding.next_command {
            Some(command) => row.command.as_ref() == Some(command),
            None => row.command.is_none() && row.object == reason,
        };
        match rows.iter_mut().find(is_same) {
            Some(row) => row.more += 1,
            None => rows.push(Row { object: reason, ..row_of(finding) }),
        }
    }
    rows
}

/// The row of a server without an incident, with evidence. `None` if there is one, or if a check of
/// harm to users now could not look.
fn healthy(findings: &[Finding]) -> Option<Row<'_>> {
    let denies = |finding: &Finding| match finding.status {
        Status::Critical | Status::Warning => harm::of(finding) < Harm::Later,
        Status::Skipped => harm::of_check(finding.metric) == Harm::Now && is_unseen(finding),
        Status::Ok => false,
    };
    if findings.iter().any(denies) {
        return None;
    }
    let fine = |metric: &str| {
        let found = findings.iter().filter(|finding| finding.status == Status::Ok);
        found.filter(|finding| finding.metric == metric).find_map(|f| f.current_value.clone())
    };
    let mut evidence = String::new();
    for (metric, unit) in [("Blocked Sessions", ""), ("Connections", " connections")] {
        if let Some(value) = fine(metric) {
            evidence += &format!("; {value}{unit}");
        }
    }
    let fine = findings.iter().filter(|finding| finding.status == Status::Ok).count();
    Some(Row {
        status: Status::Ok,
        metric: "No Incident",
        more: 0,
        object: format!("{fine} checks OK{evidence}"),
        command: Some(WHOLE_REPORT.to_owned()),
    })
}

/// The lines of the view. `typable` qualifies the names in a command.
#[must_use]
pub fn lines(findings: &[Finding], typable: impl Fn(String) -> String) -> Vec<Line> {
    let mut rows = problems(findings);
    rows.extend(blind(findings));
    rows.extend(healthy(findings));
    if rows.len() > MAX_ROWS {
        let hidden = rows.split_off(MAX_ROWS - 1);
        let names: Vec<&str> = hidden.iter().map(|row| row.metric).collect();
        rows.push(Row {
            status: hidden.iter().map(|row| row.status).min().unwrap_or(Status::Ok),
            metric: "More Rows",
            more: 0,
            object: format!("{} more: {}", hidden.len(), names.join(", ")),
            command: Some(WHOLE_REPORT.to_owned()),
        });
    }
    let metric = |row: &Row<'_>| match row.more {
        0 => row.metric.to_owned(),
        more => format!("{} +{more}", row.metric),
    };
    let widest = |texts: Vec<String>, least: &str| {
        texts.iter().map(|text| width(text)).chain([least.len()]).max().unwrap_or(0)
    };
    let fixed = "CRITICAL".len() + widest(rows.iter().map(metric).collect(), "metric");
    let rest = WIDTH.saturating_sub(fixed + SEPARATORS);
    let command = |row: &Row<'_>| {
        let direct = row.command.clone().map(&typable).filter(|command| {
            !command.chars().any(char::is_control) && width(command) + OBJECT_WIDTH <= rest
        });
        direct.unwrap_or_else(|| page_of(row.metric))
    };
    let commands: Vec<String> = rows.iter().map(command).collect();
    let object_width = rest.saturating_sub(widest(commands.clone(), "command"));
    rows.iter()
        .zip(commands)
        .map(|(row, command)| Line {
            status: row.status.as_str(),
            metric: metric(row),
            check: row.metric.to_owned(),
            object: cut_object(&row.object, object_width),
            command,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(metric: &'static str, status: Status) -> Finding {
        Finding {
            status,
            current_value: Some("a value".to_owned()),
            ..Finding::skipped(metric, "a reason".to_owned())
        }
    }

    fn shown(findings: &[Finding]) -> Vec<Line> {
        let lines = lines(findings, |command| command.replace("FROM ", "FROM public."));
        assert!(lines.len() <= MAX_ROWS);
        let widest = |text: fn(&Line) -> &str| lines.iter().map(|l| width(text(l))).max();
        let columns: [fn(&Line) -> &str; 4] =
            [|l| l.status, |l| &l.metric, |l| &l.object, |l| &l.command];
        let table: usize = columns.into_iter().filter_map(widest).sum();
        assert!(table + SEPARATORS <= WIDTH, "{table}: {lines:?}");
        lines
    }

    #[test]
    fn a_healthy_server_is_one_row_with_evidence() {
        let lines = shown(&[finding("Connections", Status::Ok), finding("Replay", Status::Ok)]);
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].status, lines[0].metric.as_str()), ("OK", "No Incident"));
        assert_eq!(lines[0].object, "2 checks OK; a value connections");
        assert_eq!(lines[0].command, "SELECT * FROM public.performance_health_check();");
    }

    #[test]
    fn a_blind_server_is_never_ok() {
        let blind =
            [finding("Long Queries", Status::Skipped), finding("Slow Queries", Status::Skipped)];
        let lines = shown(&blind);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].status, "SKIPPED");
        assert_eq!(lines[0].metric, "Long Queries +1");
        assert_eq!(lines[0].object, "a reason");
        let other = Finding {
            next_command: Some("GRANT pg_monitor TO someone;".to_owned()),
            ..finding("Wait Profile", Status::Skipped)
        };
        let metrics: Vec<_> = shown(&[blind[0].clone(), other.clone(), other])
            .into_iter()
            .map(|line| line.metric)
            .collect();
        assert_eq!(metrics, ["Long Queries", "Wait Profile +1"], "a row for each remedy");
        let samples = [finding("Health Samples", Status::Skipped), finding("Replay", Status::Ok)];
        let statuses: Vec<_> = shown(&samples).iter().map(|line| line.status).collect();
        assert_eq!(statuses, ["SKIPPED", "OK"], "missing samples hide no incident");
    }

    #[test]
    fn hygiene_is_no_incident() {
        let old = [finding("KPI Freshness", Status::Critical), finding("Replay", Status::Ok)];
        let statuses: Vec<_> = shown(&old).iter().map(|line| line.status).collect();
        assert_eq!(statuses, ["CRITICAL", "OK"]);
        assert_eq!(shown(&[finding("Sequences", Status::Warning)]).len(), 1, "no row is OK");
        let without =
            [finding("Checksum Failures", Status::Skipped), finding("Replay", Status::Ok)];
        assert_eq!(shown(&without).len(), 1, "a cluster without checksums may be healthy");
    }

    #[test]
    fn long_commands_and_names_stay_on_one_line() {
        let long = Finding {
            object: Some("materialized view ".to_owned() + &"表".repeat(200) + "\n\u{1b}[2J"),
            next_command: Some(format!("SELECT '{}';", "x".repeat(200))),
            ..finding("Prepared Transactions", Status::Critical)
        };
        let short = Finding {
            next_command: Some("SELECT crewsnow_ops.sample_health();".to_owned()),
            ..finding("Health Samples", Status::Skipped)
        };
        let lines = shown(&[long, short]);
        assert_eq!(
            lines[0].command,
            "SELECT crewsnow_ops.health_finding('Prepared Transactions');"
        );
        assert!(lines[0].object.starts_with("表表"), "{}", lines[0].object);
        assert!(lines[0].object.ends_with('…'));
        assert_eq!(lines[1].command, "SELECT crewsnow_ops.sample_health();");
    }

    #[test]
    fn more_findings_than_rows_are_counted() {
        let several: Vec<Finding> =
            (0..30).map(|_| finding("Blocked Sessions", Status::Critical)).collect();
        let lines = shown(&several);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].metric, "Blocked Sessions +29");
        const NAMES: [&str; 14] =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"];
        let many: Vec<Finding> = NAMES.iter().map(|name| finding(name, Status::Warning)).collect();
        let lines = shown(&many);
        assert_eq!(lines.len(), MAX_ROWS);
        assert_eq!(lines[9].metric, "More Rows");
        assert_eq!(lines[9].object, "5 more: j, k, l, m, n");
    }
}
