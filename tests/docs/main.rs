//! What the documents show is what happens: every ```console block of a page is typed, in order, into a fresh database, and the answers
//! must be the page's.

use harness::{Cluster, both, root};
use std::process::Stdio;

struct Command {
    typed: String,
    answer: Vec<String>,
}

fn commands(page: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut in_console = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(kind) => in_console = kind == "console",
            None if in_console => match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(typed), _) => commands.push(Command { typed: typed.to_owned(), answer: Vec::new() }),
                (None, Some(command)) => command.answer.push(line.trim_end().to_owned()),
                (None, None) => panic!("an answer without a command: {line}"),
            },
            None => {}
        }
    }
    commands
}

#[test]
fn the_pages_tell_the_truth() {
    let cluster = Cluster::start("docs", "timezone = 'UTC'");
    let mut pages = vec![root().join("README.md")];
    pages.extend(std::fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path()));
    let mut typed = 0;
    let mut wrong = Vec::new();
    for (n, page) in pages.iter().enumerate() {
        let database = format!("page_{n}");
        cluster.create_database(&database);
        for command in commands(&std::fs::read_to_string(page).expect("a page")) {
            let mut shell = cluster.client_program("bash", &database);
            let output = shell.arg("-c").arg(&command.typed).stdin(Stdio::null()).output().expect("bash runs");
            let mut answer: Vec<String> = both(&output).lines().map(|line| line.trim_end().to_owned()).collect();
            let mut expected = command.answer;
            // A block may leave out the empty line that psql ends a table with.
            for lines in [&mut answer, &mut expected] {
                while lines.last().is_some_and(String::is_empty) {
                    lines.pop();
                }
            }
            if answer != expected {
                let page = page.display();
                wrong.push(format!("{page}\n$ {}\nsays {expected:#?}\nanswers {answer:#?}", command.typed));
            }
            typed += 1;
        }
    }
    assert!(typed > 10, "commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The table of settings in the reference is the server's, with its defaults.
#[test]
fn every_setting_is_documented() {
    let cluster = Cluster::start("settings", "");
    let mut client = cluster.create_database("settings");
    harness::run(&mut client, "SELECT is_feature_enabled_for_user('messaging')");
    let settings = harness::rows(
        &mut client,
        "SELECT name, current_setting(name) FROM pg_settings WHERE name ~ '^crewsnow_ops\\.' ORDER BY name",
    );
    let page = std::fs::read_to_string(root().join("docs/settings.md")).expect("the table of settings");
    let documented: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `crewsnow_ops."))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>()[1..3].join("|"))
        .collect();
    assert!(!settings.is_empty());
    assert_eq!(settings, documented);
}
