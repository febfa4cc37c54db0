//! Runs each added or changed test of the suites on the library of the parent commit. It must fail
//! there: a test that passes before the change says nothing about the change. A test that rightly
//! passes states why in a comment above it: `// passes before: a guard of a rule that holds`.
//!
//! `dev/prove.sh` starts this program. `CREWSNOW_PARENT` names a directory with the parent's files
//! in `files`, and in `tree` the same with the present tests. `prove list` prints how many tests of
//! the suites and in the server would run; `prove in-server` runs the latter. Helpers and data of a
//! test are not compared, except for the scripts of pg_regress and of the rules. Unit tests in src/
//! are part of the library, so they are counted only.

mod changes;
mod in_server;
mod verdict;

use changes::Test;
use harness::{Cluster, root, server_command, value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use verdict::{Outcome, Verdict};

/// Seconds after which a single test is stopped and waits until all others have run.
const FIRST_LIMIT: u64 = 20;
/// Seconds after which it is stopped then.
const TEST_LIMIT: u64 = 120;
/// Tests that run at once. Most of them wait for a server now and then.
const WORKERS: usize = 3;
/// Seconds after which the whole run ends, unless `CREWSNOW_PROVE_SECONDS` says otherwise.
const RUN_LIMIT: u64 = 240;

/// Scripts that one test runs, one by one where `CREWSNOW_SCRIPTS` names them.
struct Scripts {
    suite: &'static str,
    /// The test that runs them.
    test: &'static str,
    folder: &'static str,
    /// The folder and ending of the expected answers; those of the scripts if there are none.
    answers: (&'static str, &'static str),
}

const SCRIPTS: [Scripts; 2] = [
    Scripts {
        suite: "pg_regress",
        test: "every_script_answers_as_expected",
        folder: "tests/pg_regress/sql",
        answers: ("tests/pg_regress/expected", "out"),
    },
    Scripts {
        suite: "rls",
        test: "every_rule_finds_its_failing_cases_and_no_others",
        folder: "tests/rls/rules",
        answers: ("tests/rls/rules", "sql"),
    },
];

/// One thing to run on the parent's library: a test, or one script of a test.
struct Case {
    test: Test,
    script: Option<String>,
    /// Whether its file changed in the last commit, or since.
    is_newest: bool,
}

impl Case {
    fn name(&self) -> String {
        let name = self.script.as_deref().unwrap_or(&self.test.path);
        format!("{} {name}", self.test.suite)
    }
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run make prove"))
}

/// The files below `folder` with this ending, relative to `root`.
fn files(root: &Path, folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                let relative = path.strip_prefix(root).expect("below the root");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// All tests below a folder of `root`, in suites named after its folders.
fn tests(root: &Path, folder: &str) -> Vec<Test> {
    let of_file = |file: String| {
        let below = file.strip_prefix(folder).unwrap_or(&file).trim_start_matches('/');
        changes::tests(below, &read(&root.join(&file)))
    };
    files(root, folder, "rs").into_iter().flat_map(of_file).collect()
}

/// The names of the scripts that were added or changed, or whose answer was.
fn changed_scripts(scripts: &Scripts, now: &Path, before: &Path) -> Vec<String> {
    let differs = |path: &str| read(&now.join(path)) != read(&before.join(path));
    let (answers, ending) = scripts.answers;
    let found = files(now, scripts.folder, "sql");
    let names = found.iter().filter_map(|file| Path::new(file).file_stem()?.to_str());
    let is_changed = |name: &&str| {
        differs(&format!("{}/{name}.sql", scripts.folder))
            || differs(&format!("{answers}/{name}.{ending}"))
    };
    names.filter(is_changed).map(str::to_owned).collect()
}

/// The changed tests of all suites that run over the library, those of the newest files first.
fn cases(now: &Path, before: &Path) -> Vec<Case> {
    let manifest = read(&now.join("tests/harness/Cargo.toml"));
    let is_suite =
        |test: &Test| manifest.contains(&format!("\n[[test]]\nname = \"{}\"", test.suite));
    let newest = std::env::var("CREWSNOW_NEWEST").unwrap_or_default();
    let newest: BTreeSet<&str> = newest.split_whitespace().collect();
    let functions = changes::changed(&tests(now, "tests"), &tests(before, "tests"));
    let case = |test: Test| {
        let is_newest = newest.contains(format!("tests/{}", test.file).as_str());
        Case { test, script: None, is_newest }
    };
    let mut cases: Vec<Case> = functions.into_iter().filter(is_suite).map(case).collect();
    for scripts in &SCRIPTS {
        for name in changed_scripts(scripts, now, before) {
            let file = format!("{}/{name}.sql", scripts.folder);
            let reason = changes::reason_of_script(&read(&now.join(&file)));
            let is_newest = newest.contains(file.as_str());
            let test = Test::script(scripts.suite, scripts.test, file, reason);
            cases.push(Case { test, script: Some(name), is_newest });
        }
    }
    cases.sort_by_key(|case| !case.is_newest);
    cases
}

/// The compiled suites by name.
fn programs(root: &Path) -> BTreeMap<String, PathBuf> {
    let mut build = Command::new("cargo");
    build.args(["test", "--package", "harness", "--no-run"]).current_dir(root);
    let output = build.output().expect("cargo runs");
    assert!(output.status.success(), "{}", harness::both(&output));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let program = |line: &str| {
        let rest = line.trim().strip_prefix("Executable ")?;
        let (source, path) = rest.trim_start_matches("unittests ").split_once(" (")?;
        let suite = source.trim_end_matches("/main.rs").rsplit('/').next()?;
        Some((suite.to_owned(), root.join(path.trim_end_matches(')'))))
    };
    text.lines().filter_map(program).collect()
}

/// Runs one case on the parent's library for at most `limit` seconds, with a directory of its own
/// for servers.
fn outcome(case: &Case, program: &Path, tree: &Path, state: &Path, limit: u64) -> Outcome {
    let output = Command::new("timeout")
        .args(["--kill-after=10", &limit.to_string()])
        .arg(program)
        .args(["--exact", &case.test.path])
        .env("CREWSNOW_ROOT", tree)
        .env("CREWSNOW_STATE", state)
        .env("CREWSNOW_SCRIPTS", case.script.as_deref().unwrap_or_default())
        .current_dir(root().join("tests/harness"))
        .output()
        .expect("timeout runs");
    let text = harness::both(&output);
    let log = state.join(format!("{}.log", case.name().replace([' ', ':'], "_")));
    let _ = fs::write(log, &text);
    remove_servers(state);
    if matches!(output.status.code(), Some(124 | 137) | None) {
        return Outcome::Unfinished;
    }
    assert!(text.contains("running 1 test\n"), "{} did not run: {text}", case.name());
    if output.status.success() { Outcome::Passed } else { Outcome::Failed }
}

/// Stops servers that a stopped test left behind, and removes the files of all of them, which would
/// fill the disk.
fn remove_servers(state: &Path) {
    for entry in fs::read_dir(state).into_iter().flatten().flatten() {
        let data = entry.path().join("data");
        if data.join("postmaster.pid").exists() {
            let mut stop = server_command("pg_ctl");
            let _ = stop.arg("-D").arg(&data).args(["-m", "immediate", "-w", "stop"]).output();
        }
        if data.exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The parent's library must work in itself, or every test would fail on it.
fn check_library() {
    let cluster = Cluster::start("library", "");
    let mut client = cluster.create_database("parent");
    let flags = value(&mut client, "SELECT count(*) > 0 FROM feature_flags");
    assert_eq!(flags, "t", "the parent's library answers");
}

/// The cases that wait for their run, each with the seconds that it may take.
type Queue<'a> = Mutex<VecDeque<(&'a Case, u64)>>;

/// Judges the next cases until none is left, or the time is over.
fn work(queue: &Queue<'_>, verdicts: &Mutex<Vec<Verdict>>, run: impl Fn(&Case, u64) -> Outcome) {
    loop {
        let next = queue.lock().expect("the queue").pop_front();
        let Some((case, limit)) = next else { break };
        let began = Instant::now();
        let outcome = run(case, limit);
        if outcome == Outcome::Unfinished && limit == FIRST_LIMIT {
            queue.lock().expect("the queue").push_back((case, TEST_LIMIT));
            continue;
        }
        let verdict = Verdict::of(outcome);
        println!("    {}: {verdict} ({} s)", case.name(), began.elapsed().as_secs());
        verdicts.lock().expect("the verdicts").push(verdict);
    }
}

/// Judges the cases, some at a time, and prints each verdict.
fn judge(cases: &[Case], parent: &Path) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut to_run = VecDeque::new();
    for case in cases {
        let Some(reason) = &case.test.reason else {
            to_run.push_back((case, FIRST_LIMIT));
            continue;
        };
        let verdict = Verdict::of_reason(reason);
        println!("    {}: {verdict}", case.name());
        verdicts.push(verdict);
    }
    if to_run.is_empty() {
        return verdicts;
    }
    check_library();
    let limit = std::env::var("CREWSNOW_PROVE_SECONDS").ok().and_then(|text| text.parse().ok());
    let deadline = Instant::now() + Duration::from_secs(limit.unwrap_or(RUN_LIMIT));
    let programs = programs(&root());
    let (queue, verdicts) = (Mutex::new(to_run), Mutex::new(verdicts));
    let worker = |number: usize| {
        let state = PathBuf::from(format!("{}{number}", setting("CREWSNOW_STATE")));
        work(&queue, &verdicts, |case, limit| {
            let left = deadline.saturating_duration_since(Instant::now()).as_secs();
            if left == 0 {
                return if limit == FIRST_LIMIT { Outcome::NotRun } else { Outcome::Unfinished };
            }
            let program = programs.get(&case.test.suite).expect("a compiled suite");
            outcome(case, program, &parent.join("tree"), &state, left.min(limit))
        });
    };
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            scope.spawn(move || worker(number));
        }
    });
    verdicts.into_inner().expect("the verdicts")
}

/// The tests in src/ that were added or changed: in the server, and of single functions.
fn changed_inside(before: &Path) -> (Vec<Test>, Vec<Test>) {
    let changed = changes::changed(&tests(&root(), "src"), &tests(before, "src"));
    changed.into_iter().partition(Test::is_in_server)
}

/// Prints the sum of the verdicts.
fn sum_up(verdicts: &[Verdict]) -> ExitCode {
    let count = |is: fn(&Verdict) -> bool| verdicts.iter().filter(|verdict| is(verdict)).count();
    let faults = count(Verdict::is_fault);
    println!(
        "    {} tests are new or changed: {} fail before, {} have a reason, {faults} are faults, \
         {} are not proved",
        verdicts.len(),
        count(|verdict| *verdict == Verdict::Proved),
        count(|verdict| matches!(verdict, Verdict::Excused(_))),
        count(|verdict| matches!(verdict, Verdict::Unknown(_))),
    );
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    let parent = PathBuf::from(setting("CREWSNOW_PARENT"));
    let before = parent.join("files");
    let (in_server, units) = changed_inside(&before);
    match std::env::args().nth(1).as_deref() {
        Some("list") => {
            let runs = |test: &Test| usize::from(test.reason.is_none());
            let of_suites: usize =
                cases(&root(), &before).iter().map(|case| runs(&case.test)).sum();
            println!("{of_suites} {}", in_server.iter().map(runs).sum::<usize>());
            ExitCode::SUCCESS
        }
        Some("in-server") => {
            let all = tests(&root(), "src");
            let is_unchanged = |test: &Test| test.is_in_server() && !in_server.contains(test);
            let unchanged: Vec<Test> = all.into_iter().filter(is_unchanged).collect();
            println!("    {} unit tests are new or changed, and not run", units.len());
            sum_up(&in_server::judge(&in_server, &unchanged))
        }
        _ => sum_up(&judge(&cases(&root(), &before), &parent)),
    }
}
