//! Runs the runbook verbatim and in order against the demo application, with bash and psql as the
//! on-call engineer does.
//!
//! UPDATE_EXPECTED=1 rewrites the answers in statements.txt; read the difference before you commit
//! it. Answers with placeholders are not rewritten and still fail the suite.

use harness::{Cluster, both, root, run, sqlstate, value};
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

/// Number of SQL statements in the runbook.
const STATEMENTS: usize = 37;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Live,
    Pending,
    Erratum,
}

#[derive(Debug)]
struct Statement {
    title: String,
    is_session: bool,
    is_unordered: bool,
    state: State,
    text: String,
    answer: Vec<Expected>,
    /// The line of each line of the answer in statements.txt.
    answer_lines: Vec<usize>,
    checks: Vec<(String, String)>,
    needs: Option<String>,
}

/// A line of an answer.
#[derive(Debug)]
struct Expected {
    line: String,
    /// Whether more lines of this form may follow.
    repeats: bool,
}

/// Stands for any text, or none.
const ANYTHING: &str = "<anything>";

/// A placeholder for text that depends on the time, and the characters that it admits.
type Placeholder = (&'static str, fn(char) -> bool);
const PLACEHOLDERS: [Placeholder; 5] = [
    (ANYTHING, |_| true),
    ("<time>", |c| c.is_ascii_digit() || "-:.+ ".contains(c)),
    ("<number>", |c| c.is_ascii_digit() || c == '.'),
    ("<word>", |c| c.is_ascii_alphabetic() || "-_".contains(c)),
    ("<status>", |c| c.is_ascii_alphanumeric() || ": >".contains(c)),
];

impl Expected {
    fn of(line: &str) -> Self {
        let repeats = line.starts_with("=>+");
        let line = line.trim_start_matches("=>").trim_start_matches('+');
        Self { line: line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned(), repeats }
    }

    fn has_placeholder(&self) -> bool {
        PLACEHOLDERS.iter().any(|(name, _)| self.line.contains(name))
    }

    fn fits_cell(expected: &str, found: &str) -> bool {
        let placeholder = PLACEHOLDERS
            .iter()
            .find_map(|(name, admits)| Some((*name, expected.split_once(name)?, admits)));
        match placeholder {
            None => expected == found,
            Some((name, (before, after), admits)) => found
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|varying| {
                    (name == ANYTHING || !varying.is_empty()) && varying.chars().all(admits)
                }),
        }
    }

    /// Whether the line matches. Column widths do not matter.
    fn fits(&self, found: &str) -> bool {
        let is_rule = |line: &str| line.starts_with('-') && line.chars().all(|c| "-+".contains(c));
        let separator = if is_rule(&self.line) && is_rule(found) { '+' } else { '|' };
        let (expected, found): (Vec<_>, Vec<_>) =
            (self.line.split(separator).collect(), found.split(separator).collect());
        expected.len() == found.len()
            && expected.iter().zip(&found).all(|(expected, found)| {
                separator == '+' || Self::fits_cell(expected.trim(), found.trim())
            })
    }
}

/// Whether an answer depends on the time.
fn depends_on_time(expected: &[Expected]) -> bool {
    expected.iter().any(|line| line.repeats || line.has_placeholder())
}

/// Whether an answer is as expected: verbatim, or by its placeholders if it depends on the time.
fn matches_expected(expected: &[Expected], answer: &[String]) -> bool {
    if !depends_on_time(expected) {
        return expected.iter().map(|line| &line.line).eq(answer);
    }
    let mut rest = answer;
    for line in expected {
        let most = if line.repeats { rest.len() } else { 1 };
        let count = rest.iter().take(most).take_while(|found| line.fits(found)).count();
        if count == 0 {
            return false;
        }
        rest = &rest[count..];
    }
    rest.is_empty()
}

fn header(line: &str) -> Statement {
    let (number, rest) = line[1..].split_once("] ").expect("[number] and a title");
    let mut parts = rest.split(" · ");
    let section = parts.next().expect("a section");
    let mut statement = Statement {
        title: format!("[{number}] {section}"),
        is_session: false,
        is_unordered: false,
        state: State::Pending,
        text: String::new(),
        answer: Vec::new(),
        answer_lines: Vec::new(),
        checks: Vec::new(),
        needs: None,
    };
    for part in parts {
        match part {
            "shell" => {}
            "session" => statement.is_session = true,
            "unordered" => statement.is_unordered = true,
            "live" => statement.state = State::Live,
            "pending" => statement.state = State::Pending,
            "erratum" => statement.state = State::Erratum,
            other => panic!("{line}: {other}?"),
        }
    }
    statement
}

fn file() -> PathBuf {
    root().join("tests/runbook").join("statements.txt")
}

fn statements() -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    for (n, line) in std::fs::read_to_string(file()).expect("statements.txt").lines().enumerate() {
        if line.starts_with('[') {
            statements.push(header(line));
            continue;
        }
        let Some(statement) = statements.last_mut() else { continue };
        if line.starts_with("=>") {
            statement.answer.push(Expected::of(line));
            statement.answer_lines.push(n);
        } else if let Some(check) = line.strip_prefix("check: ") {
            let (sql, expected) = check.rsplit_once(" = ").expect("check: SQL = value");
            statement.checks.push((sql.to_owned(), expected.to_owned()));
        } else if let Some(reason) = line.strip_prefix("needs: ") {
            statement.needs = Some(reason.to_owned());
        } else if !line.is_empty() {
            statement.text += line;
            statement.text.push('\n');
        }
    }
    statements
}

/// The file with other answers in place of those in the given lines, which are in order.
fn with_answers(file: &str, answers: &[(Vec<usize>, Vec<String>)]) -> String {
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    for (old, answer) in answers.iter().rev() {
        let (first, last) = (old[0], old[old.len() - 1]);
        assert_eq!(last - first + 1, old.len(), "an answer is not interrupted");
        lines.splice(first..=last, answer.iter().map(|line| format!("=> {line}")));
    }
    lines.join("\n") + "\n"
}

/// Runs the statement. Returns whether it worked, and the lines of the answer.
fn execute(cluster: &Cluster, statement: &Statement) -> (bool, Vec<String>) {
    let output = if statement.is_session {
        let mut child = cluster
            .psql("crewsnow")
            .args(["-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs");
        child
            .stdin
            .take()
            .expect("its input")
            .write_all(statement.text.as_bytes())
            .expect("typing");
        child.wait_with_output().expect("psql ends")
    } else {
        let mut shell = cluster.client_program("bash", "crewsnow");
        shell.arg("-c").arg(&statement.text).stdin(Stdio::null()).output().expect("bash runs")
    };
    (
        output.status.success(),
        both(&output).lines().map(|line| line.trim_end().to_owned()).collect(),
    )
}

#[test]
fn each_statement_of_the_runbook_answers_as_expected() {
    let mut statements = statements();
    assert_eq!(statements.len(), STATEMENTS, "the runbook's statements");
    let cluster = Cluster::start("runbook", "");
    let mut client = cluster.create_demo("crewsnow", false);
    let mut failures = Vec::new();
    let mut rewritten = Vec::new();
    for statement in &mut statements {
        let (worked, mut answer) = execute(&cluster, statement);
        let unsorted_answer = answer.clone();
        let title = &statement.title;
        match statement.state {
            State::Live => {
                assert!(!statement.answer.is_empty(), "{title} is live and has no answer");
                if statement.is_unordered {
                    statement.answer.sort_by(|a, b| a.line.cmp(&b.line));
                    answer.sort();
                }
                let expected = &statement.answer;
                let is_expected = matches_expected(expected, &answer);
                if worked
                    && !is_expected
                    && !depends_on_time(expected)
                    && harness::rewrites("UPDATE_EXPECTED")
                {
                    println!("{title}: rewritten");
                    rewritten.push((statement.answer_lines.clone(), unsorted_answer));
                } else if !worked || !is_expected {
                    failures.push(format!("{title}\nexpected {expected:#?}\nanswered {answer:#?}"));
                }
                for (sql, expected) in &statement.checks {
                    let found = value(&mut client, sql);
                    if found != *expected {
                        failures.push(format!("{title}\n{sql} is {found}, expected {expected}"));
                    }
                }
            }
            State::Pending | State::Erratum => {
                assert!(statement.needs.is_some(), "{title} is pending and gives no reason");
                if worked {
                    failures.push(format!(
                        "{title} works now: promote it to live, with its answer\n{answer:#?}"
                    ));
                }
            }
        }
    }
    if !rewritten.is_empty() {
        let text = std::fs::read_to_string(file()).expect("statements.txt");
        std::fs::write(file(), with_answers(&text, &rewritten)).expect("statements.txt is written");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn rewriting_changes_only_answers() {
    let text = "[01] a · shell · live\npsql\n=> old\n=> lines\ncheck: x = y\n\n\
                [02] b · shell · live\n=> kept\n";
    assert_eq!(with_answers(text, &[]), text);
    let rewritten = text.replace("=> old\n=> lines", "=> new");
    assert_eq!(with_answers(text, &[(vec![2, 3], vec!["new".to_owned()])]), rewritten);
}

#[test]
fn placeholders_admit_their_own_characters_only() {
    let expected = ["=>  name | at", "=> --+--", "=>+ <word> | <time>", "=> (<number> rows)"]
        .map(Expected::of);
    let answer =
        |rows: &[&str]| -> Vec<String> { rows.iter().map(|row| (*row).to_owned()).collect() };
    let (head, rule, row) = (" name |   at", "------+-----", " a-b  | 2026-01-02 03:04:05.6+00");
    assert!(matches_expected(&expected, &answer(&[head, rule, row, row, "(2 rows)"])));
    assert!(!matches_expected(&expected, &answer(&[head, rule, "(0 rows)"])), "a row is missing");
    assert!(
        !matches_expected(&expected, &answer(&[head, rule, row, " a-b  | ", "(2 rows)"])),
        "<time> is not empty"
    );
    assert!(
        !matches_expected(&expected, &answer(&[head, rule, row, " 1 | 2", "(2 rows)"])),
        "a number is not a <word>"
    );
    assert!(
        !matches_expected(&expected, &answer(&[head, rule, row, "(2 rows)", "more"])),
        "an unexpected line after the answer"
    );
    assert!(
        !matches_expected(&expected, &answer(&["WARNING:  x", head, rule, row, "(1 rows)"])),
        "an unexpected warning before the answer"
    );
    let expected = ["=>  name | at", "=> --+--", "=>+ <anything> | <time>", "=> (<number> rows)"]
        .map(Expected::of);
    assert!(
        matches_expected(&expected, &answer(&[head, rule, row, "      | 1", "(2 rows)"])),
        "<anything> may be empty"
    );
    assert!(
        !matches_expected(&expected, &answer(&[head, rule, row, " a | 1 | b", "(2 rows)"])),
        "<anything> is one cell"
    );
    assert!(
        !matches_expected(&[Expected::of("=>  t")], &answer(&["t"])),
        "without placeholders, spaces matter"
    );
}

#[test]
fn statements_are_numbered_without_gaps() {
    for (i, statement) in statements().iter().enumerate() {
        assert!(statement.title.starts_with(&format!("[{:02}] ", i + 1)), "{}", statement.title);
    }
}

/// One statement of the runbook is not valid: without FROM, the server cannot resolve `status`. A
/// function with the same signature replaces the real one, on a server without the extension.
#[test]
fn the_erratum_works_only_with_from() {
    let cluster = Cluster::start("erratum", "");
    cluster.create_empty_database("without_extension");
    let mut client = cluster.connect("without_extension");
    run(
        &mut client,
        "CREATE FUNCTION audit_all_rls_policies()
         RETURNS TABLE (table_name text, policy_name text, policy_cmd text, roles text[],
             status text, security_level text, issues text[])
         LANGUAGE sql AS $$
             VALUES ('t', 'p', 'SELECT', '{}'::text[], 'VULNERABLE', 'HIGH', '{}'::text[]),
                    ('u', 'p', 'SELECT', '{}'::text[], 'SECURE', 'LOW', '{}'::text[]) $$",
    );
    let erratum: Vec<_> =
        statements().into_iter().filter(|statement| statement.state == State::Erratum).collect();
    assert_eq!(erratum.len(), 1, "one erratum");
    let typed = erratum[0].text.trim().trim_start_matches("psql -c \"").trim_end_matches('"');
    assert_eq!(sqlstate(&mut client, typed), "42703");
    let corrected = typed.replacen("SELECT ", "SELECT * FROM ", 1);
    assert_eq!(corrected, "SELECT * FROM audit_all_rls_policies() WHERE status != 'SECURE';");
    let rows = harness::rows(&mut client, &corrected);
    assert_eq!(rows, ["t|p|SELECT|{}|VULNERABLE|HIGH|{}"]);
}

/// The kill switch works in the database: with messaging off, no client can insert a message.
#[test]
fn the_kill_switch_blocks_messages_in_the_policies() {
    let cluster = Cluster::start("kill_switch", "");
    let mut client = cluster.create_demo("crewsnow", false);
    let sender = value(
        &mut client,
        "SELECT user1_id FROM matches WHERE unmatched_at IS NULL ORDER BY id LIMIT 1",
    );
    let write = format!(
        "BEGIN; SET LOCAL ROLE authenticated;
         SET LOCAL request.jwt.claims = '{{\"sub\": \"{sender}\", \"role\": \"authenticated\"}}';
         INSERT INTO messages (match_id, sender_id, content)
         SELECT id, '{sender}', 'On se voit au Brévent ?' FROM matches
         WHERE '{sender}' IN (user1_id, user2_id) AND unmatched_at IS NULL LIMIT 1;
         COMMIT"
    );
    run(&mut client, &write);
    run(&mut cluster.connect("crewsnow"), "SELECT update_feature_flag('messaging', false)");
    assert_eq!(sqlstate(&mut client, &write), "42501");
    run(&mut client, "ROLLBACK");
    run(&mut cluster.connect("crewsnow"), "SELECT update_feature_flag('messaging', true)");
    run(&mut client, &write);
}

/// `make run` shows exactly the live statements, with their real answers.
#[test]
fn make_run_walks_through_the_live_statements() {
    let script = root().join("dev/walk.sh");
    let cluster = Cluster::start("walk", "");
    cluster.create_database("crewsnow");
    let shown = both(
        &cluster
            .client_program(script, "crewsnow")
            .stdin(Stdio::null())
            .output()
            .expect("walk.sh runs"),
    );
    for statement in statements() {
        let prompt = if statement.is_session { "crewsnow=#" } else { "$" };
        let typed = format!("{prompt} {}", statement.text.trim());
        assert_eq!(shown.contains(&typed), statement.state == State::Live, "{typed}\n{shown}");
    }
    assert!(
        shown.contains("premium_subscriptions: was enabled at 100 %, is now disabled at 100 %"),
        "{shown}"
    );
}
