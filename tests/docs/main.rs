//! The pages show real answers. The suite runs the commands of each ```console block of a page, in
//! order and in a fresh database, and compares the answers. UPDATE_DOCS=1 rewrites the answers on
//! the pages; read the difference before you commit it.

use harness::{Cluster, both, root};
use std::iter::repeat_n;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A command of a console block.
struct Command {
    text: String,
    /// The lines of the page with its answer.
    answer: Range<usize>,
}

/// The commands of a page, in order.
fn commands(lines: &[&str]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut in_console = false;
    for (n, line) in lines.iter().enumerate() {
        match line.strip_prefix("```") {
            Some(kind) => in_console = kind == "console",
            None if in_console => match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(text), _) => {
                    commands.push(Command { text: text.to_owned(), answer: n + 1..n + 1 })
                }
                (None, Some(command)) => command.answer.end = n + 1,
                (None, None) => panic!("an answer without a command: {line}"),
            },
            None => {}
        }
    }
    commands
}

/// The lines without trailing blanks and without empty lines at the end. A block may omit the empty
/// line with which psql ends a table.
fn trimmed<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut lines: Vec<_> = lines.into_iter().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

/// The page with new answers in place of the given lines, which are in order.
fn with_answers(lines: &[&str], answers: &[(Range<usize>, String)]) -> String {
    let mut page = lines.to_vec();
    for (shown, answer) in answers.iter().rev() {
        let blanks = shown.len() - trimmed(lines[shown.clone()].iter().copied()).len();
        page.splice(shown.clone(), trimmed(answer.lines()).into_iter().chain(repeat_n("", blanks)));
    }
    page.join("\n") + "\n"
}

/// The Markdown files of a folder and its subfolders.
fn pages_in(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of pages") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages.extend(pages_in(&path));
        } else if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

#[test]
fn every_console_block_shows_the_real_answer() {
    let rewrites = harness::rewrites("UPDATE_DOCS");
    let cluster = Cluster::start("docs", "timezone = 'UTC'");
    let mut pages: Vec<_> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)).into();
    pages.retain(|page| page.exists());
    pages.extend(pages_in(&root().join("docs")));
    let mut count = 0;
    let mut wrong = Vec::new();
    for (n, page) in pages.iter().enumerate() {
        let text = std::fs::read_to_string(page).expect("a page");
        let lines: Vec<_> = text.lines().collect();
        let commands = commands(&lines);
        if commands.is_empty() {
            continue;
        }
        let database = format!("page_{n}");
        cluster.create_database(&database);
        let mut answers = Vec::new();
        for Command { text, answer } in commands {
            let mut shell = cluster.client_program("bash", &database);
            let output =
                both(&shell.arg("-c").arg(&text).stdin(Stdio::null()).output().expect("bash runs"));
            let (found, shown) =
                (trimmed(output.lines()), trimmed(lines[answer.clone()].iter().copied()));
            if found != shown {
                wrong.push(format!(
                    "{}\n$ {text}\nthe page shows {shown:#?}\nthe server answers {found:#?}",
                    page.display()
                ));
                answers.push((answer, output));
            }
            count += 1;
        }
        if rewrites && !answers.is_empty() {
            println!("{}: {} answers rewritten", page.display(), answers.len());
            std::fs::write(page, with_answers(&lines, &answers)).expect("the page is written");
        }
    }
    assert!(count > 10, "commands were found");
    assert!(rewrites || wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn rewriting_changes_only_answers() {
    let page = "text\n```console\n$ a\n$ b\nold\nlines\n\n$ c\nkept\n```\n$ not a command\n";
    let lines: Vec<_> = page.lines().collect();
    let shown: Vec<_> = commands(&lines).into_iter().map(|command| command.answer).collect();
    assert_eq!(shown, [3..3, 4..7, 8..9]);
    assert_eq!(with_answers(&lines, &[]), page);
    let answers = [(3..3, "new\n".to_owned()), (4..7, "one \n\n".to_owned())];
    let rewritten = "text\n```console\n$ a\nnew\n$ b\none\n\n$ c\nkept\n```\n$ not a command\n";
    assert_eq!(with_answers(&lines, &answers), rewritten);
}

/// docs/settings.md lists each setting with its default.
#[test]
fn every_setting_is_documented() {
    let cluster = Cluster::start("settings", "");
    let mut client = cluster.create_database("settings");
    harness::run(&mut client, "SELECT is_feature_enabled_for_user('messaging')");
    let settings = harness::rows(
        &mut client,
        "SELECT name, current_setting(name) FROM pg_settings WHERE name ~ '^crewsnow_ops\\.'
         ORDER BY name",
    );
    let page =
        std::fs::read_to_string(root().join("docs/settings.md")).expect("the table of settings");
    let documented: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `crewsnow_ops."))
        .map(|line| {
            line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>()[1..3]
                .join("|")
        })
        .collect();
    assert!(!settings.is_empty());
    assert_eq!(settings, documented);
}
