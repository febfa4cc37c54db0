//! Rules about the sources themselves: no test or SQL file is left out, and `unsafe` stays where it
//! is allowed.

mod guarded_calls;
mod layers;
mod style;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All Rust files of a directory.
fn sources(directory: &Path) -> String {
    let mut found = Vec::new();
    files(directory, &mut found);
    found
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| text(path))
        .collect()
}

/// The modules that a Rust file declares.
fn modules(source: &str) -> BTreeSet<String> {
    let declaration = |line: &str| {
        line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    };
    source.lines().filter_map(declaration).collect()
}

/// Whether a Python file of the same folder imports this one.
fn is_imported(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let imports = |line: &str| {
        line == format!("import {name}") || line.starts_with(&format!("from {name} import "))
    };
    let mut found = Vec::new();
    files(path.parent().expect("a folder"), &mut found);
    found
        .iter()
        .filter(|other| *other != path && other.extension().is_some_and(|ending| ending == "py"))
        .any(|other| text(other).lines().any(imports))
}

#[test]
fn every_test_file_is_run() {
    let root = harness::root();
    let tests = root.join("tests");
    let manifest = text(&tests.join("harness/Cargo.toml"));
    let mut found = Vec::new();
    files(&tests, &mut found);
    assert!(found.len() > 10, "the test files were found");
    let mut forgotten = Vec::new();
    for path in found {
        let relative =
            path.strip_prefix(&tests).expect("below tests").to_string_lossy().into_owned();
        let parts: Vec<&str> = relative.split('/').collect();
        let is_run = match parts.as_slice() {
            ["harness", "Cargo.toml"] | ["harness", "src", "lib.rs"] => true,
            ["harness", "src", file] => {
                let modules = modules(&text(&tests.join("harness/src/lib.rs")));
                modules.contains(file.trim_end_matches(".rs"))
                    || sources(&tests.join("harness/src")).contains(&format!("{file}\""))
            }
            ["pg_regress", "sql", script] => {
                let name = script.trim_end_matches(".sql");
                path.with_file_name(format!("../expected/{name}.out")).exists()
            }
            ["pg_regress", "expected", answer] => {
                let name = answer.trim_end_matches(".out");
                tests.join(format!("pg_regress/sql/{name}.sql")).exists()
            }
            [suite, "main.rs"] => manifest.contains(&format!("path = \"../{suite}/main.rs\"")),
            [suite, file] if file.ends_with(".rs") => {
                modules(&text(&tests.join(suite).join("main.rs")))
                    .contains(file.trim_end_matches(".rs"))
            }
            ["rls", "rules", rule] => root.join(format!("sql/rls/rules/{rule}")).exists(),
            [suite, file] => {
                sources(&tests.join(suite)).contains(&format!("{file}\"")) || is_imported(&path)
            }
            _ => false,
        };
        if !is_run {
            forgotten.push(relative);
        }
    }
    assert!(forgotten.is_empty(), "no runner runs these: {forgotten:?}");
}

#[test]
fn no_test_is_switched_off() {
    let root = harness::root();
    let mut found = Vec::new();
    files(&root.join("tests"), &mut found);
    files(&root.join("src"), &mut found);
    let switched_off: Vec<_> = found
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .filter(|path| text(path).lines().any(|line| line.trim_start().starts_with("#[ignore")))
        .collect();
    assert!(switched_off.is_empty(), "{switched_off:?}");
}

/// Every SQL file is wired into the install script or run from Rust. Upgrade scripts, which the
/// server reads, lie in sql/ itself.
#[test]
fn every_sql_file_is_used() {
    let root = harness::root();
    let mut sources = Vec::new();
    files(&root.join("src"), &mut sources);
    let sources: String = sources.iter().map(|path| text(path)).collect();
    let mut sql = Vec::new();
    for entry in fs::read_dir(root.join("sql")).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, &mut sql);
        }
    }
    assert!(sql.len() > 150, "the SQL files were found");
    let is_used = |path: &Path| {
        let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        // Health checks and rules are named without their folder and ending.
        let short = name.trim_end_matches(".sql");
        let short = ["sql/health/", "sql/rls/rules/"]
            .iter()
            .find_map(|folder| short.strip_prefix(folder))
            .unwrap_or(short);
        sources.contains(&name) || sources.contains(&format!("\"{short}\""))
    };
    let unused: Vec<_> = sql.iter().filter(|path| !is_used(path)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// Whether a line of Rust uses the keyword `unsafe`, comments aside.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
}

/// `Cargo.toml` denies unsafe code, but an attribute could allow it again anywhere.
#[test]
fn unsafe_code_is_in_pg_and_one_hot_path() {
    let root = harness::root().join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    let outside: Vec<_> = found
        .iter()
        .filter(|path| {
            path.extension().is_some_and(|e| e == "rs") && text(path).lines().any(is_unsafe)
        })
        .map(|path| path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned())
        .filter(|path| !path.starts_with("pg/"))
        .collect();
    assert_eq!(outside, ["flags/evaluate.rs"]);
    assert!(is_unsafe("    unsafe { work() } // why") && is_unsafe("#[unsafe(no_mangle)]"));
    assert!(!is_unsafe("// unsafe") && !is_unsafe("unsafe_code = \"deny\""));
}
