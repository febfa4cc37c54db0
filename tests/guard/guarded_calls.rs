//! Rust code passes `#[pg_guard]` functions to the server and never calls them.
//!
//! Such a function hands its errors to the server, which jumps to the nearest handler. A direct
//! call has none of its own: the jump skips the Rust frames in between, and a subtransaction that
//! one of them had begun stays open.

use super::{files, text};
use std::path::Path;

/// The names of the `#[pg_guard]` functions that a source file defines.
fn guarded(source: &str) -> Vec<String> {
    let name = |item: &str| {
        let (_, rest) = item.split_once("fn ")?;
        Some(rest.split('(').next()?.trim().to_owned())
    };
    source.split("#[pg_guard]\n").skip(1).filter_map(name).collect()
}

/// The lines on which a source calls a function by its name, unlike a method or a definition.
fn calls(source: &str, function: &str) -> Vec<usize> {
    let call = format!("{function}(");
    let is_call = |line: &&str| {
        line.match_indices(&call).any(|(at, _)| {
            let before = &line[..at];
            let is_part_of_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            !is_part_of_name && !before.ends_with('.') && !before.ends_with("fn ")
        })
    };
    let lines = source.lines().enumerate();
    lines.filter(|(_, line)| is_call(line)).map(|(index, _)| index + 1).collect()
}

/// The direct calls in a source of the guarded functions that it defines or imports.
fn direct_calls(source: &str, all: &[(String, String)], file: &str) -> Vec<String> {
    let is_known = |(home, name): &&(String, String)| {
        let module = Path::new(home).file_stem().unwrap_or_default().to_string_lossy();
        let imports =
            |l: &str| l.starts_with("use ") && l.contains(&*module) && l.contains(name.as_str());
        home == file || source.lines().any(imports)
    };
    let mut found = Vec::new();
    for (_, name) in all.iter().filter(is_known) {
        found.extend(calls(source, name).iter().map(|line| format!("{file}:{line}: {name}")));
    }
    found
}

#[test]
fn guarded_functions_are_not_called_from_rust() {
    let root = harness::root();
    let mut paths = Vec::new();
    files(&root.join("src"), &mut paths);
    let name = |path: &Path| path.display().to_string();
    let sources: Vec<(String, String)> =
        paths.iter().map(|path| (name(path), text(path))).collect();
    let mut all = Vec::new();
    for (file, source) in &sources {
        all.extend(guarded(source).into_iter().map(|name| (file.clone(), name)));
    }
    assert!(all.len() > 5, "{all:?}");
    let mut found = Vec::new();
    for (file, source) in &sources {
        found.extend(direct_calls(source, &all, file));
    }
    assert!(found.is_empty(), "pass them to pg::rewrite::walk:\n{}", found.join("\n"));
}

#[test]
fn a_direct_call_is_found() {
    let source = "// `#[pg_guard]` fn this()\n#[pg_guard]\nunsafe fn find(node: *mut Node) {\n\
        walk(node, find)\n}\nfn search() {\n    refind(1);\n    self.find(2);\n    find(3);\n}";
    assert_eq!(guarded(source), ["find"]);
    let all = [("a.rs".to_owned(), "find".to_owned())];
    assert_eq!(direct_calls(source, &all, "a.rs"), ["a.rs:9: find"]);
    assert!(direct_calls(source, &all, "b.rs").is_empty(), "another function of this name");
}
