//! Imports point one way: domains → access → pg → error and settings. No two files import each
//! other, directly or through others, and a pure core knows neither pgrx nor the server.

use super::{files, text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Each module at the crate's root, and the modules that it may import.
const ARROWS: [(&str, &[&str]); 15] = [
    ("error", &[]),
    ("settings", &[]),
    ("suggest", &[]),
    ("time", &[]),
    ("pg", &["error", "settings", "time"]),
    ("access", &["pg", "error", "settings"]),
    ("flags", &["access", "pg", "error", "settings", "suggest", "time"]),
    ("telemetry", &["access", "pg", "error", "settings", "suggest", "time"]),
    ("health", &["access", "pg", "error", "settings", "suggest", "time"]),
    ("rls", &["access", "pg", "error", "settings", "suggest", "time"]),
    (
        "alerts",
        &[
            "messages",
            "telemetry",
            "health",
            "access",
            "pg",
            "error",
            "settings",
            "suggest",
            "time",
        ],
    ),
    (
        "maintenance",
        &[
            "readiness",
            "telemetry",
            "health",
            "access",
            "pg",
            "error",
            "settings",
            "suggest",
            "time",
        ],
    ),
    (
        "readiness",
        &["rls", "telemetry", "health", "access", "pg", "error", "settings", "suggest", "time"],
    ),
    ("messages", &["access", "pg", "error", "settings", "suggest", "time"]),
    ("dashboard", &["rls", "telemetry", "access", "pg", "error", "settings", "suggest", "time"]),
];

/// Files and folders that compile without a server.
const PURE: [&str; 51] = [
    "alerts/pure",
    "flags/bucket.rs",
    "flags/model.rs",
    "health/finding.rs",
    "health/harm.rs",
    "health/limit_list.rs",
    "health/mask.rs",
    "health/page.rs",
    "health/triage.rs",
    "maintenance/erasure/order.rs",
    "maintenance/report.rs",
    "maintenance/restore/archive.rs",
    "maintenance/restore/check.rs",
    "maintenance/restore/comparison.rs",
    "maintenance/restore/expression.rs",
    "maintenance/restore/fault.rs",
    "maintenance/restore/item.rs",
    "maintenance/restore/plain_dump.rs",
    "maintenance/restore/sequence.rs",
    "maintenance/restore/signature.rs",
    "maintenance/restore/tar_file.rs",
    "maintenance/restore/toc.rs",
    "maintenance/restore/verdict.rs",
    "maintenance/schedule/jobs.rs",
    "maintenance/step.rs",
    "maintenance/vacuum/need.rs",
    "maintenance/windows/calendar.rs",
    "maintenance/windows/openings.rs",
    "maintenance/windows/zone.rs",
    "messages/pure",
    "readiness/pure",
    "rls/incident/denial/judgement.rs",
    "rls/incident/denial/step.rs",
    "rls/incident/denial/trigger_body.rs",
    "rls/model.rs",
    "rls/report/cause.rs",
    "rls/rules/lints.rs",
    "suggest.rs",
    "telemetry/ingest/correction.rs",
    "telemetry/ingest/json_text.rs",
    "telemetry/ingest/ondisk_jsonb.rs",
    "telemetry/ingest/ondisk_numeric.rs",
    "telemetry/rollup/attempt.rs",
    "telemetry/rollup/coverage.rs",
    "telemetry/rollup/silence.rs",
    "telemetry/rollup/webhooks.rs",
    "telemetry/sketch/ddsketch.rs",
    "telemetry/views/sparkline.rs",
    "telemetry/views/thresholds.rs",
    "telemetry/views/wrap.rs",
    "time",
];

/// A path in the crate, from its root: `["pg", "xact", "timeout"]`.
type ModulePath = Vec<String>;

/// The source text without comments and without test modules, which come last in a file.
fn code(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The module that a file defines.
fn module_of(file: &str) -> ModulePath {
    let mut parts: ModulePath =
        file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The paths that a `use` tree imports.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<ModulePath>) {
    let tree = tree.trim();
    let segments = |text: &str| {
        let names =
            text.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "self");
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree);
        paths.push([prefix, &segments(name)].concat());
        return;
    };
    let prefix = [prefix, &segments(&tree[..open])].concat();
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(&prefix, &inner[start..at], paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// All paths that begin with `crate`, `self` or `super`: in `use` items and within code.
fn paths_in(code: &str) -> Vec<ModulePath> {
    let mut paths = Vec::new();
    let mut rest = String::new();
    for item in code.split_inclusive(';') {
        let statement = item.rfind("use ").filter(|at| {
            let before = item[..*at].trim_end();
            before.is_empty()
                || before.ends_with(['}', ')', '{'])
                || before.ends_with("pub")
                || before.ends_with(']')
        });
        match statement {
            Some(at) => {
                rest.push_str(&item[..at]);
                expand(&[], item[at + 4..].trim_end_matches(';'), &mut paths);
            }
            None => rest.push_str(item),
        }
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for word in rest.split(|c| !is_name(c)) {
        if ["crate::", "super::", "self::"].iter().any(|start| word.starts_with(start)) {
            expand(&[], word, &mut paths);
        }
    }
    paths
}

/// The path from the crate's root; `None` for one of another crate.
fn absolute(path: &[String], module: &[String]) -> Option<ModulePath> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => {
            let base = &module[..module.len().checked_sub(supers)?];
            Some([base, &path[supers..]].concat())
        }
        _ => None,
    }
}

/// Each file of a source tree with the files that it imports.
fn imports(sources: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<ModulePath, &String> =
        sources.keys().map(|file| (module_of(file), file)).collect();
    let mut graph = BTreeMap::new();
    for (file, source) in sources {
        let module = module_of(file);
        let mut imported = BTreeSet::new();
        for path in paths_in(&code(source)).iter().filter_map(|path| absolute(path, &module)) {
            let longest = (1..=path.len()).rev().find_map(|length| modules.get(&path[..length]));
            imported.extend(longest.filter(|other| **other != file).map(|other| (*other).clone()));
        }
        graph.insert(file.clone(), imported);
    }
    graph
}

/// The root module of a file: its domain.
fn domain(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// Every defect of the import graph, by name.
fn defects(sources: &BTreeMap<String, String>) -> Vec<String> {
    let graph = imports(sources);
    let mut defects = Vec::new();
    // lib.rs wires and schema.rs orders the install script: both name every domain.
    let wired = |file: &str| file == "lib.rs" || file == "schema.rs";
    for (file, imported) in graph.iter().filter(|(file, _)| !wired(file)) {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == domain(file)) else {
            defects.push(format!("src/{file} belongs to no known domain"));
            continue;
        };
        for other in imported {
            if domain(other) != domain(file) && !allowed.contains(&domain(other)) {
                defects.push(format!("src/{file} must not import src/{other}"));
            }
        }
    }
    defects.extend(circles(&graph).iter().map(|circle| format!("circle: {}", circle.join(" → "))));
    for (file, source) in sources {
        let is_pure = PURE.iter().any(|pure| file == pure || file.starts_with(&format!("{pure}/")));
        if is_pure {
            let source = code(source);
            for word in ["pgrx", "crate::pg", "pg_sys", "Spi::"] {
                if source.contains(word) {
                    defects.push(format!("src/{file} is pure and must not name {word}"));
                }
            }
        }
    }
    for pure in PURE {
        if !sources.keys().any(|file| file.starts_with(pure)) {
            defects.push(format!("src/{pure} is listed as pure and does not exist"));
        }
    }
    defects
}

/// One circle for each file that reaches itself, each circle once.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for start in graph.keys() {
        if found.iter().any(|circle| circle.contains(start)) {
            continue;
        }
        // Breadth first, so that the circle shown is a shortest one.
        let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
        let mut queue: Vec<&String> = vec![start];
        while let Some(file) = (!queue.is_empty()).then(|| queue.remove(0)) {
            for next in &graph[file] {
                if next == start {
                    let mut circle = vec![start.clone(), file.clone()];
                    let mut at = file;
                    while let Some(previous) = came_from.get(at) {
                        circle.push((*previous).clone());
                        at = previous;
                    }
                    circle.dedup();
                    circle.reverse();
                    found.push(circle);
                    queue.clear();
                    break;
                }
                if !came_from.contains_key(next) {
                    came_from.insert(next, file);
                    queue.push(next);
                }
            }
        }
    }
    found
}

/// The Rust files below `src`, by their path from there.
fn sources() -> BTreeMap<String, String> {
    let root = harness::root().join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    let is_rust = |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "rs");
    let relative =
        |path: &Path| path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
    let outside = |file: &String| !file.ends_with("server_tests.rs");
    let all = found.iter().filter(is_rust).map(|path| (relative(path), text(path)));
    all.filter(|(file, _)| outside(file)).collect()
}

#[test]
fn imports_point_one_way_and_never_in_circles() {
    let sources = sources();
    assert!(sources.len() > 80, "the sources were found");
    let arrows: usize = imports(&sources).values().map(BTreeSet::len).sum();
    assert!(arrows > 300, "the imports were read: {arrows}");
    let defects = defects(&sources);
    assert!(defects.is_empty(), "\n{}", defects.join("\n"));
}

#[test]
fn a_broken_arrow_is_named() {
    let broken = |changes: &[(&str, &str)]| {
        let mut sources = sources();
        for (file, line) in changes {
            let source = sources.get_mut(*file).unwrap_or_else(|| panic!("{file} exists"));
            *source = format!("{line}\n{source}");
        }
        defects(&sources).join("\n")
    };
    let upward = broken(&[("pg/clock.rs", "use crate::flags::{api, model::Flag};")]);
    assert!(upward.contains("src/pg/clock.rs must not import src/flags/model.rs"), "{upward}");
    let sideways = broken(&[("health/mask.rs", "use crate::rls::model::Finding;")]);
    assert!(sideways.contains("src/health/mask.rs must not import src/rls/model.rs"), "{sideways}");
    let inline = broken(&[("pg/clock.rs", "fn f() { crate::readiness::api::decide() }")]);
    assert!(inline.contains("src/pg/clock.rs must not import src/readiness/api.rs"), "{inline}");
    let circle = broken(&[
        ("flags/bucket.rs", "use super::model::Flag;"),
        ("flags/model.rs", "use super::bucket::bucket;"),
    ]);
    assert!(circle.contains("circle: flags/bucket.rs → flags/model.rs"), "{circle}");
    let impure = broken(&[("flags/model.rs", "use pgrx::prelude::*;")]);
    assert!(impure.contains("src/flags/model.rs is pure and must not name pgrx"), "{impure}");
}
