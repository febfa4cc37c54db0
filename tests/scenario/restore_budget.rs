//! The end of the time of a restore test is a report of how far it came.

use crate::restore::{REMAINS, backup_directory, report, shop};
use crate::restore_backups::{recorded_base_backup, recorded_dump};
use harness::{Cluster, must_run, rows, run, value};
use postgres::Client;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const TEST: &str = "SELECT test_backup_restore_procedure()";
const OVER: &str = "the time of crewsnow_ops.restore_budget was over";

/// A report of a test that was cut short: nothing remains, and nothing is validated.
fn require_cut(a: &mut Client, report: &str, expected: &str) {
    assert!(report.contains(&format!("\n{expected}{OVER}")), "{report}");
    assert!(report.ends_with("\nBackup/restore procedure: ISSUES DETECTED"), "{report}");
    assert!(!report.contains("FAULT"), "{report}");
    assert_eq!(rows(a, REMAINS), [""; 0]);
}

/// Puts a script in the place of one of the server's programs. It never ends if `waits`, a test of
/// sh, is true; else it is the program itself.
fn replace_program(directory: &Path, name: &str, waits: &str) {
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" != --version ] && {waits}; then sleep 300; fi\n\
         exec {} \"$@\"\n",
        harness::program(name).display()
    );
    let path = directory.join(name);
    std::fs::write(&path, script).expect("a program");
    must_run(Command::new("chmod").arg("700").arg(&path));
    must_run(Command::new("chown").arg("--reference").arg(directory).arg(&path));
}

#[test]
fn the_end_of_the_budget_is_a_report_of_how_far_the_test_came() {
    let cluster = Cluster::start("restore_budget", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let dump = recorded_dump(&mut a, &cluster, "shop", "c");
    let directory = backup_directory(&cluster);
    let started = Instant::now();
    run(&mut a, "SET crewsnow_ops.restore_budget = '3 s'");
    let set = format!("SET crewsnow_ops.program_directory = '{}'", directory.display());
    run(&mut a, &set);
    for (program, expected) in [
        ("psql", "SKIPPED  2 restores  "),
        ("pg_restore", "SKIPPED  2 restores  "),
        ("pg_dump", "SKIPPED  0 fresh     "),
    ] {
        replace_program(&directory, program, "true");
        let told = match program {
            "pg_dump" => {
                run(&mut a, "DELETE FROM backup_log");
                value(&mut a, TEST)
            }
            _ => report(&mut a, &dump),
        };
        require_cut(&mut a, &told, expected);
        std::fs::remove_file(directory.join(program)).expect("removed");
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let row = "SELECT DISTINCT verdict FROM crewsnow_ops.restore_tests";
    assert_eq!(rows(&mut a, row), ["ISSUES DETECTED"]);
    let evidence = "SELECT bool_or(passed) FROM crewsnow_ops.evidence
        WHERE criterion = 'restore-test'";
    assert_eq!(value(&mut a, evidence), "f");
    run(&mut a, "RESET crewsnow_ops.restore_budget");
    let whole = value(&mut a, TEST);
    assert!(whole.ends_with("VALIDATED"), "{whole}");
}

#[test]
fn a_comparison_that_is_cut_short_tells_which_levels_were_reached() {
    let cluster = Cluster::start("restore_budget_levels", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let directory = backup_directory(&cluster);
    let set = format!("SET crewsnow_ops.program_directory = '{}'", directory.display());
    run(&mut a, &set);
    let whole = value(&mut a, TEST);
    let has_amcheck = whole.contains("OK       2 restores  amcheck");
    run(&mut a, "SET crewsnow_ops.restore_budget = '15 s'");
    for (script, expected, reached) in [
        ("contents", "SKIPPED  4 content   ", "\nOK       3 complete  "),
        ("pages", "SKIPPED  5 usable    ", "\nOK       4 content   "),
        ("tests", "SKIPPED  5 usable    ", "\nOK       4 content   "),
    ] {
        if script == "pages" && !has_amcheck {
            continue;
        }
        let waits = format!("echo \"$*\" | grep -q '/{script}[^/]*sql'");
        replace_program(&directory, "psql", &waits);
        let told = value(&mut a, TEST);
        require_cut(&mut a, &told, expected);
        assert!(told.contains(reached), "{script}: {told}");
        let checks = "SKIPPED  2 restores  the time was over before amcheck ended";
        assert_eq!(told.contains(checks), has_amcheck && script != "tests", "{script}: {told}");
    }
}

#[test]
fn programs_on_a_base_backup_end_with_the_budget() {
    let cluster = Cluster::start("restore_budget_base", "fsync = off");
    let mut a = shop(&cluster, "shop");
    let base = recorded_base_backup(&mut a, &cluster, "base", &[]);
    let directory = backup_directory(&cluster);
    run(&mut a, "SET crewsnow_ops.restore_budget = '3 s'");
    let set = format!("SET crewsnow_ops.program_directory = '{}'", directory.display());
    run(&mut a, &set);
    for (program, expected) in [
        ("pg_verifybackup", "SKIPPED  2 restores  "),
        ("pg_waldump", "SKIPPED  2 restores  "),
        ("pg_controldata", "SKIPPED  2 restores  "),
        ("psql", "SKIPPED  2 restores  "),
    ] {
        replace_program(&directory, program, "true");
        let started = Instant::now();
        let told = report(&mut a, &base);
        assert!(started.elapsed() < Duration::from_secs(30), "{program}: {:?}", started.elapsed());
        require_cut(&mut a, &told, expected);
        std::fs::remove_file(directory.join(program)).expect("removed");
    }
    run(&mut a, "RESET crewsnow_ops.restore_budget");
    let whole = report(&mut a, &base);
    assert!(whole.ends_with("VALIDATED"), "{whole}");
}
